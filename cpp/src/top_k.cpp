// The best words with a decoder of one matrix.
#include <algorithm>
#include <cmath>
#include <limits>

#include "log_sum_exp.h"
#include "score_chunks.h"
#include "top_k_heap.h"

namespace carousel {
namespace {

constexpr float MINUS_INFINITY = -std::numeric_limits<float>::infinity();

}  // namespace

void Engine::top_k(const DecoderInput& input, int64_t N, int64_t k, int64_t* ids,
                   float* log_probs) {
  const bool adaptive = model_.cluster_count() > 0;
  const bool pruned =
      !log_probs && !adaptive && model_.decoder.matrix().format != NumberFormat::int8;
  WorkspaceLease workspace(workspaces_);
  for (int64_t start = 0; start < N; start += MAX_VECTORS) {
    const int64_t count = std::min(MAX_VECTORS, N - start);
    const Vectors vectors = decoder_input(*workspace, input, start, count, has_int8_ || pruned);
    int64_t* block_ids = ids + start * k;
    float* block_log_probs = log_probs ? log_probs + start * k : nullptr;
    if (!adaptive && !pruned) {
      top_k_full(*workspace, vectors, k, block_ids, block_log_probs);
      continue;
    }
    for (int64_t v = 0; v < count; ++v) {
      const Vectors vector = workspace->decoder_input.view(v, 1);
      if (adaptive)
        top_k_adaptive(*workspace, vector, k, block_ids + v * k,
                       block_log_probs ? block_log_probs + v * k : nullptr);
      else
        top_k_pruned(*workspace, vector, k, block_ids + v * k);
    }
  }
}

// All scores of every vector are looked at.
//
// Of few vectors every second call reads the rows from the last to the first: what was read last
// may still lie in the second cache. Each chunk is summed by itself, so that what comes out does
// not depend on the order.
void Engine::top_k_full(Workspace& workspace, const Vectors& vectors, int64_t k, int64_t* ids,
                        float* log_probs) {
  const int64_t N = vectors.count;
  const int parts = threads_for(model_.decoder.matrix(), workspace);
  const bool backwards = N <= MAX_MATVEC_VECTORS && turn_.fetch_xor(1, std::memory_order_relaxed);
  // One of each vector for each part, [parts, N].
  std::vector<TopKHeap> heaps(parts * N, TopKHeap(0));
  for (auto& heap : heaps) heap = TopKHeap(k);
  std::vector<ScoreStatistics> statistics(parts * N);
  for (auto& entry : statistics) entry.threshold = MINUS_INFINITY;
  std::vector<std::vector<PartialExpSum>> exp_sums(parts * N);
  const auto use = [&](int part, int64_t first, int64_t rows, const float* scores, int64_t stride) {
    for (int64_t v = part * N; v < (part + 1) * N; ++v) {
      heaps[v].offer(scores + (v - part * N) * stride, rows, first, statistics[v]);
      exp_sums[v].push_back(take_exp_sum(statistics[v]));
      // Of equals the lower id is better: backwards it is still to come.
      if (backwards)
        statistics[v].threshold = std::nextafter(statistics[v].threshold, MINUS_INFINITY);
    }
  };
  score_chunks(workspace, model_.decoder, model_.decoder_bias.data(), vectors, parts,
               statistics.data(), use, backwards);
  for (int64_t v = 0; v < N; ++v) {
    std::vector<PartialExpSum> all_sums;
    for (int part = 0; part < parts; ++part) {
      auto& part_sums = exp_sums[part * N + v];
      if (backwards) std::reverse(part_sums.begin(), part_sums.end());
      all_sums.insert(all_sums.end(), part_sums.begin(), part_sums.end());
      if (part) heaps[v].offer(heaps[part * N + v]);
    }
    heaps[v].sort();
    const float normalizer = log_probs ? log_sum_exp(all_sums) : 0;
    for (int64_t n = 0; n < k; ++n) {
      ids[v * k + n] = heaps[v].entries()[n].id;
      if (log_probs) log_probs[v * k + n] = heaps[v].entries()[n].score - normalizer;
    }
  }
}

}  // namespace carousel
