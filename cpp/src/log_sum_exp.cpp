#include "log_sum_exp.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace carousel {
namespace {

constexpr float MINUS_INFINITY = -std::numeric_limits<float>::infinity();

}  // namespace

PartialExpSum take_exp_sum(ScoreStatistics& statistics) {
  const PartialExpSum taken{
      statistics.max,
      std::accumulate(std::begin(statistics.exp_sums), std::end(statistics.exp_sums), 0.0),
      statistics.nan_marker};
  statistics.max = MINUS_INFINITY;
  std::fill(std::begin(statistics.exp_sums), std::end(statistics.exp_sums), 0.0);
  statistics.nan_marker = 0;
  return taken;
}

float log_sum_exp(const std::vector<PartialExpSum>& sums) {
  float max = MINUS_INFINITY;
  for (const PartialExpSum& sum : sums) max = std::max(max, sum.max);
  double total = 0;
  for (const PartialExpSum& sum : sums) {
    if (sum.exp_sum > 0) total += sum.exp_sum * std::exp(static_cast<double>(sum.max) - max);
    total += sum.nan_marker;
  }
  const float log_sum = static_cast<float>(max + std::log(total));
  if (!std::isfinite(log_sum))
    throw std::invalid_argument("the scores are not finite: the model's weights are too large");
  return log_sum;
}

float log_sum_exp(ScoreStatistics* statistics, int parts, int64_t stride) {
  std::vector<PartialExpSum> sums;
  for (int part = 0; part < parts; ++part) sums.push_back(take_exp_sum(statistics[part * stride]));
  return log_sum_exp(sums);
}

}  // namespace carousel
