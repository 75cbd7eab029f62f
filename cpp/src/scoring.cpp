// Scores and log-probabilities of given words.
#include <algorithm>
#include <cstring>

#include "log_sum_exp.h"
#include "score_chunks.h"

namespace carousel {

void Engine::decode(const DecoderInput& input, int64_t N, float* scores) {
  const int64_t V = model_.vocab_size;
  WorkspaceLease workspace(workspaces_);
  for (int64_t start = 0; start < N; start += MAX_VECTORS) {
    const int64_t count = std::min(MAX_VECTORS, N - start);
    const Vectors vectors = decoder_input(*workspace, input, start, count, has_int8_);
    float* to = scores + start * V;
    if (model_.cluster_count()) {
      decode_adaptive(*workspace, vectors, to);
      continue;
    }
    score_chunks(*workspace, model_.decoder, model_.decoder_bias.data(), vectors,
                 threads_for(model_.decoder.matrix(), *workspace), nullptr,
                 [&](int, int64_t first, int64_t rows, const float* chunk, int64_t stride) {
                   for (int64_t v = 0; v < count; ++v)
                     std::memcpy(to + v * V + first, chunk + v * stride, rows * sizeof(float));
                 });
  }
}

// The log-softmax over all rows of a matrix, at one row for each vector.
void Engine::log_prob_of_rows(Workspace& workspace, const Weights& weights, const float* bias,
                              const Vectors& vectors, const int64_t* rows_wanted,
                              float* log_probs) {
  const int parts = threads_for(weights.matrix(), workspace);
  std::vector<ScoreStatistics> statistics(parts * vectors.count);
  score_chunks(workspace, weights, bias, vectors, parts, statistics.data(),
               [&](int, int64_t first, int64_t rows, const float* scores, int64_t stride) {
                 for (int64_t v = 0; v < vectors.count; ++v) {
                   const int64_t index = rows_wanted[v] - first;
                   if (index >= 0 && index < rows) log_probs[v] = scores[v * stride + index];
                 }
               });
  for (int64_t v = 0; v < vectors.count; ++v)
    log_probs[v] -= log_sum_exp(&statistics[v], parts, vectors.count);
}

void Engine::log_prob(const DecoderInput& input, int64_t N, const int64_t* tokens,
                      float* log_probs) {
  // The decoder's row of a token: its own, or that of its cluster.
  const auto row_of = [&](int64_t token) {
    int64_t row = model_.head_words();
    if (token < row) return token;
    for (const Cluster& cluster : model_.clusters) {
      if (token < cluster.last) break;
      ++row;
    }
    return row;
  };
  WorkspaceLease workspace(workspaces_);
  for (int64_t start = 0; start < N; start += MAX_VECTORS) {
    const int64_t count = std::min(MAX_VECTORS, N - start);
    const Vectors vectors = decoder_input(*workspace, input, start, count, has_int8_);
    std::vector<int64_t> rows(count);
    std::transform(tokens + start, tokens + start + count, rows.begin(), row_of);
    log_prob_of_rows(*workspace, model_.decoder, model_.decoder_bias.data(), vectors, rows.data(),
                     log_probs + start);
    for (int64_t c = 0; c < model_.cluster_count(); ++c)
      add_cluster_log_probs(*workspace, c, vectors, tokens + start, log_probs + start);
  }
}

void Engine::score(const int64_t* tokens, int64_t T, int64_t B, float* state, float* log_probs) {
  const int64_t P = decoder_width(), block = std::max<int64_t>(1, MAX_VECTORS / B);
  // What the decoder reads before the first token of a block, and after each of its tokens.
  std::vector<float> hidden((block + 1) * B * P);
  {
    WorkspaceLease workspace(workspaces_);
    for (int64_t start = 0; start < B; start += MAX_VECTORS) {
      const int64_t count = std::min(MAX_VECTORS, B - start);
      decoder_input(*workspace, {state, true}, start, count, has_int8_);
      for (int64_t v = 0; v < count; ++v)
        std::memcpy(hidden.data() + (start + v) * P, workspace->decoder_input[v],
                    P * sizeof(float));
    }
  }
  for (int64_t start = 0; start < T; start += block) {
    const int64_t count = std::min(block, T - start);
    read(tokens + start * B, count, B, state, hidden.data() + B * P);
    log_prob({hidden.data(), false}, count * B, tokens + start * B, log_probs + start * B);
    std::memmove(hidden.data(), hidden.data() + count * B * P, B * P * sizeof(float));
  }
}

}  // namespace carousel
