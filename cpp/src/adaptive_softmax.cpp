// Decoders with an adaptive softmax (Grave et al., 2017): a head with the frequent words and a row
// for each cluster, and the words of the clusters behind them.
#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "log_sum_exp.h"
#include "score_chunks.h"
#include "top_k_heap.h"

namespace carousel {
namespace {

constexpr float MINUS_INFINITY = -std::numeric_limits<float>::infinity();

}  // namespace

// What the words of a cluster are scored with, [vectors, size].
Vectors Engine::cluster_input(Workspace& workspace, const Cluster& cluster,
                              const Vectors& vectors) {
  VectorBatch& input = workspace.cluster_input;
  input.resize(vectors.count, cluster.inner.rows());
  multiply(workspace, cluster.inner, 0, cluster.inner.rows(), vectors, nullptr, input[0],
           input.stride());
  for (int64_t v = 0; v < vectors.count; ++v) input.finish(*kernels_, v, has_int8_);
  return input.view(0, vectors.count);
}

// The best k of one vector. No word of a cluster is likelier than the whole cluster, so that one
// whose row scores below the k-th best word need not be opened.
void Engine::top_k_adaptive(Workspace& workspace, const Vectors& x, int64_t k, int64_t* ids,
                            float* log_probs) {
  const int64_t head_words = model_.head_words();
  TopKHeap head(std::min(k, head_words));
  ScoreStatistics statistics;
  statistics.threshold = MINUS_INFINITY;
  std::vector<float> cluster_log_probs(model_.cluster_count());
  score_chunks(workspace, model_.decoder, model_.decoder_bias.data(), x, 1, &statistics,
               [&](int, int64_t first, int64_t rows, const float* scores, int64_t) {
                 const int64_t words = std::clamp<int64_t>(head_words - first, 0, rows);
                 head.offer(scores, words, first, statistics);
                 for (int64_t n = words; n < rows; ++n)
                   cluster_log_probs[first + n - head_words] = scores[n];
               });
  const float head_normalizer = log_sum_exp(&statistics, 1, 1);
  TopKHeap best(k);
  for (const auto& entry : head.entries()) best.offer({entry.score - head_normalizer, entry.id});
  for (float& score : cluster_log_probs) score -= head_normalizer;

  std::vector<int64_t> likeliest_first(model_.cluster_count());
  std::iota(likeliest_first.begin(), likeliest_first.end(), 0);
  std::sort(likeliest_first.begin(), likeliest_first.end(), [&](int64_t a, int64_t b) {
    return TopKHeap::better({cluster_log_probs[a], a}, {cluster_log_probs[b], b});
  });
  for (int64_t number : likeliest_first) {
    if (best.full() && cluster_log_probs[number] < best.threshold()) break;
    const Cluster& cluster = model_.clusters[number];
    const Vectors input = cluster_input(workspace, cluster, x);
    TopKHeap inside(std::min(k, cluster.last - cluster.first));
    statistics = ScoreStatistics();
    statistics.threshold = MINUS_INFINITY;
    score_chunks(workspace, cluster.outer, nullptr, input, 1, &statistics,
                 [&](int, int64_t first, int64_t rows, const float* scores, int64_t) {
                   inside.offer(scores, rows, cluster.first + first, statistics);
                 });
    const float normalizer = log_sum_exp(&statistics, 1, 1);
    for (const auto& entry : inside.entries())
      best.offer({cluster_log_probs[number] + (entry.score - normalizer), entry.id});
  }
  best.sort();
  for (int64_t n = 0; n < k; ++n) {
    ids[n] = best.entries()[n].id;
    if (log_probs) log_probs[n] = best.entries()[n].score;
  }
}

// The log-probabilities of all words, [vectors, V].
void Engine::decode_adaptive(Workspace& workspace, const Vectors& vectors, float* log_probs) {
  const int64_t V = model_.vocab_size, head_words = model_.head_words();
  const int64_t N = vectors.count, clusters = model_.cluster_count();
  std::vector<float> cluster_log_probs(N * clusters);
  std::vector<ScoreStatistics> statistics(N);
  score_chunks(workspace, model_.decoder, model_.decoder_bias.data(), vectors, 1, statistics.data(),
               [&](int, int64_t first, int64_t rows, const float* scores, int64_t stride) {
                 const int64_t words = std::clamp<int64_t>(head_words - first, 0, rows);
                 for (int64_t v = 0; v < N; ++v) {
                   const float* from = scores + v * stride;
                   std::memcpy(log_probs + v * V + first, from, words * sizeof(float));
                   for (int64_t n = words; n < rows; ++n)
                     cluster_log_probs[v * clusters + first + n - head_words] = from[n];
                 }
               });
  for (int64_t v = 0; v < N; ++v) {
    const float normalizer = log_sum_exp(&statistics[v], 1, 1);
    for (int64_t n = 0; n < head_words; ++n) log_probs[v * V + n] -= normalizer;
    for (int64_t c = 0; c < clusters; ++c) cluster_log_probs[v * clusters + c] -= normalizer;
  }
  for (int64_t c = 0; c < clusters; ++c) {
    const Cluster& cluster = model_.clusters[c];
    const Vectors input = cluster_input(workspace, cluster, vectors);
    statistics.assign(N, ScoreStatistics());
    score_chunks(workspace, cluster.outer, nullptr, input, 1, statistics.data(),
                 [&](int, int64_t first, int64_t rows, const float* scores, int64_t stride) {
                   for (int64_t v = 0; v < N; ++v)
                     std::memcpy(log_probs + v * V + cluster.first + first, scores + v * stride,
                                 rows * sizeof(float));
                 });
    for (int64_t v = 0; v < N; ++v) {
      const float normalizer = log_sum_exp(&statistics[v], 1, 1);
      const float of_cluster = cluster_log_probs[v * clusters + c];
      for (int64_t n = cluster.first; n < cluster.last; ++n)
        log_probs[v * V + n] = of_cluster + (log_probs[v * V + n] - normalizer);
    }
  }
}

// To the log-probabilities of those vectors whose token lies in the cluster, which have the
// cluster's so far, adds the token's within the cluster.
void Engine::add_cluster_log_probs(Workspace& workspace, int64_t number, const Vectors& vectors,
                                   const int64_t* tokens, float* log_probs) {
  const Cluster& cluster = model_.clusters[number];
  std::vector<int64_t> members, rows;
  for (int64_t v = 0; v < vectors.count; ++v) {
    if (tokens[v] < cluster.first || tokens[v] >= cluster.last) continue;
    members.push_back(v);
    rows.push_back(tokens[v] - cluster.first);
  }
  if (members.empty()) return;
  const int64_t count = static_cast<int64_t>(members.size()), size = cluster.inner.rows();
  VectorBatch& input = workspace.cluster_input;
  input.resize(count, size);
  for (int64_t n = 0; n < count; ++n) {
    multiply(workspace, cluster.inner, 0, size, workspace.decoder_input.view(members[n], 1),
             nullptr, input[n], input.stride());
    input.finish(*kernels_, n, has_int8_);
  }
  std::vector<float> within(count);
  log_prob_of_rows(workspace, cluster.outer, nullptr, input.view(0, count), rows.data(),
                   within.data());
  for (int64_t n = 0; n < count; ++n) log_probs[members[n]] += within[n];
}

}  // namespace carousel
