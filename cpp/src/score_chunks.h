// One pass over the scores of all words, of which only a chunk is held at a time.
#pragma once

#include <algorithm>
#include <vector>

#include "carousel/engine.h"

namespace carousel {

// Where chunks of rows begin, and the end: few rows at first and at last, after which few scores
// are above the threshold from either side.
inline std::vector<int64_t> chunk_edges(int64_t first, int64_t end) {
  constexpr int64_t FIRST_CHUNK = 64;
  std::vector<int64_t> edges = {first};
  const int64_t last = std::max(first, (end - FIRST_CHUNK) / TILE_ROWS * TILE_ROWS);
  for (int64_t chunk = FIRST_CHUNK; edges.back() + chunk < last;
       chunk = std::min(4 * chunk, MAX_SCORES))
    edges.push_back(edges.back() + chunk);
  if (last > edges.back()) edges.push_back(last);
  edges.push_back(end);
  return edges;
}

// Calls use(part, first row, rows, scores, stride) for each chunk; `parts` threads share the rows.
// If `statistics` is not null, it has one entry for each vector of each part, [parts, vectors], to
// which the scores are added before `use` is called.
template <class Use>
void Engine::score_chunks(Workspace& workspace, const Weights& weights, const float* bias,
                          const Vectors& vectors, int parts, ScoreStatistics* statistics, Use&& use,
                          bool backwards) {
  const Matrix& m = weights.matrix();
  const int64_t share = padded((m.rows + parts - 1) / parts);
  const auto score_part = [&](int part) {
    float* scores = score_buffer(vectors.count * MAX_SCORES);
    const int64_t begin = part * share, end = std::min(begin + share, m.rows);
    if (begin >= end) return;
    const std::vector<int64_t> edges = chunk_edges(begin, end);
    const size_t count = edges.size() - 1;
    for (size_t n = 0; n < count; ++n) {
      const size_t chunk = backwards ? count - 1 - n : n;
      const int64_t first = edges[chunk], last = edges[chunk + 1];
      kernels_->multiply(m, first, last, vectors, bias, scores, MAX_SCORES,
                         product_scratch(m.columns),
                         statistics ? statistics + part * vectors.count : nullptr);
      use(part, first, last - first, scores, MAX_SCORES);
    }
  };
  if (parts == 1) return score_part(0);
  workspace.threads->run(parts, score_part);
}

}  // namespace carousel
