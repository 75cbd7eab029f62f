// The best words without their log-probabilities: rows that can't win are left unread.
//
// A coarse copy of the decoder in int8 bounds every score. For a row w and its copy w', a vector x
// and its copy x' (Cauchy and Schwarz):
//   |w x - w' x'| <= |w - w'| |x| + |w'| |x - x'|
// and the arithmetic of either product adds less than (K + 8) u |w| |x| with u = 2^-23.
#include <algorithm>
#include <cmath>

#include "carousel/fork_guard.h"
#include "score_chunks.h"
#include "top_k_heap.h"

namespace carousel {
namespace {

constexpr double ROUND_UP = 1 + 1e-6;  // more than what norms lose in float32

// The factors of a vector in the bound of a score.
struct VectorBound {
  float times_error, times_norm;
};

VectorBound bound_of(const Vectors& x, int64_t columns) {
  double norm = 0, error = 0;
  for (int64_t k = 0; k < columns; ++k) {
    const double gap = x.values[k] - static_cast<double>(x.quantized[k]) * *x.scale;
    norm += static_cast<double>(x.values[k]) * x.values[k];
    error += gap * gap;
  }
  norm = std::sqrt(norm) * ROUND_UP;
  error = std::sqrt(error) * ROUND_UP;
  const double rounding = (columns + 8) * std::ldexp(1.0, -22);
  return {static_cast<float>(norm * ROUND_UP),
          static_cast<float>((error + rounding * (norm + error)) * ROUND_UP)};
}

}  // namespace

class CoarseDecoder {
 public:
  explicit CoarseDecoder(const Weights& decoder) {
    const Matrix& m = decoder.matrix();
    std::vector<int8_t> rows(m.rows * m.columns);
    std::vector<float> scale(m.rows), row(m.columns);
    error.resize(padded(m.rows));
    norm.resize(padded(m.rows));
    for (int64_t r = 0; r < m.rows; ++r) {
      decoder.copy_row(r, row.data());
      float largest = 0;
      for (float weight : row) largest = std::max(largest, std::fabs(weight));
      scale[r] = largest > 1e-30f ? largest / 127 : 0;
      double squared_error = 0, squared_norm = 0;
      for (int64_t k = 0; k < m.columns; ++k) {
        const float steps = scale[r] > 0 ? std::nearbyint(row[k] / scale[r]) : 0;
        const auto rounded = static_cast<int8_t>(std::clamp(steps, -127.0f, 127.0f));
        rows[r * m.columns + k] = rounded;
        const double gap = row[k] - static_cast<double>(rounded) * scale[r];
        squared_error += gap * gap;
        squared_norm += static_cast<double>(row[k]) * row[k];
      }
      error[r] = static_cast<float>(std::sqrt(squared_error) * ROUND_UP);
      norm[r] = static_cast<float>((std::sqrt(squared_norm) + std::sqrt(squared_error)) * ROUND_UP);
    }
    weights = Weights(rows.data(), false, scale.data(), m.rows, m.columns);
  }

  Weights weights;                 // int8
  std::vector<float> error, norm;  // of each row, rounded up: |w - w'|, and |w| + |w - w'|
};

// Made at the first call; two threads that come first both make one, and one of them is kept.
std::shared_ptr<const CoarseDecoder> Engine::coarse_decoder() {
  {
    std::lock_guard<std::mutex> lock(bookkeeping_mutex());
    if (coarse_) return coarse_;
  }
  auto coarse = std::make_shared<const CoarseDecoder>(model_.decoder);
  std::lock_guard<std::mutex> lock(bookkeeping_mutex());
  if (!coarse_) coarse_ = std::move(coarse);
  return coarse_;
}

void Engine::top_k_pruned(Workspace& workspace, const Vectors& x, int64_t k, int64_t* ids) {
  struct Candidate {
    int64_t id;
    float upper;
  };
  const auto coarse = coarse_decoder();
  const Matrix& m = model_.decoder.matrix();
  const float* bias = model_.decoder_bias.data();
  const VectorBound bound = bound_of(x, m.columns);
  const float times_score = std::ldexp(1.0f, -21);  // the rounding of the bias's addition

  std::vector<Candidate> candidates;
  TopKHeap lower_bounds(k);  // the k best of them: what is wholly below can't win
  const auto use = [&](int, int64_t first, int64_t rows, const float* scores, int64_t) {
    float lower[MAX_SCORES], upper[MAX_SCORES];
    for (int64_t n = 0; n < rows; ++n) {
      const int64_t r = first + n;
      const float distance = coarse->error[r] * bound.times_error +
                             coarse->norm[r] * bound.times_norm +
                             (std::fabs(bias[r]) + std::fabs(scores[n])) * times_score;
      lower[n] = scores[n] - distance;
      const float sum = scores[n] + distance;
      upper[n] = std::isnan(sum) ? INFINITY : sum;  // of weights that overflow nothing is known
    }
    int32_t indices[MAX_SCORES];
    const int64_t better = kernels_->find_above(lower, rows, lower_bounds.threshold(), indices);
    lower_bounds.offer(lower, rows, first, indices, better);
    if (lower_bounds.threshold() == -INFINITY) {
      for (int64_t n = 0; n < rows; ++n) candidates.push_back({first + n, upper[n]});
      return;
    }
    const float threshold = std::nextafter(lower_bounds.threshold(), -INFINITY);
    const int64_t possible = kernels_->find_above(upper, rows, threshold, indices);
    for (int64_t n = 0; n < possible; ++n)
      candidates.push_back({first + indices[n], upper[indices[n]]});
  };
  score_chunks(workspace, coarse->weights, bias, x, 1, nullptr, use);

  TopKHeap best(k);
  for (const Candidate& candidate : candidates) {
    if (candidate.upper < lower_bounds.threshold()) continue;
    float score[TILE_ROWS];
    kernels_->multiply(m, candidate.id, candidate.id + 1, x, bias, score, TILE_ROWS,
                       product_scratch(m.columns), nullptr);
    best.offer({*score, candidate.id});
  }
  best.sort();
  for (int64_t n = 0; n < k; ++n) ids[n] = best.entries()[n].id;
}

}  // namespace carousel
