// log Σ exp of scores that were seen in parts.
//
// Contract: std::invalid_argument where a score was not finite.
#pragma once

#include <vector>

#include "carousel/kernels.h"

namespace carousel {

// Σ exp of some scores of one vector, as far as it is needed.
struct PartialExpSum {
  float max;
  double exp_sum;    // of what each score is below the largest
  float nan_marker;  // NaN where a score was not finite
};

// The sum so far, which leaves nothing in the statistics but the threshold.
PartialExpSum take_exp_sum(ScoreStatistics& statistics);

float log_sum_exp(const std::vector<PartialExpSum>& sums);

// The same of the statistics of one vector, one of each part, `stride` apart.
float log_sum_exp(ScoreStatistics* statistics, int parts, int64_t stride);

}  // namespace carousel
