#include "next_words.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace carousel {
namespace {

// Marks and numbers can be among the best tokens: then more of the best are asked for.
std::vector<WordPrediction> best_words(const FolderModel& model, const float* state, int64_t k) {
  const int64_t V = model.engine().model().vocab_size;
  k = std::min(k, model.tokenizer().word_count());
  for (int64_t width = k;;) {
    width = std::min(V, 2 * width + 8);
    std::vector<int64_t> ids(width);
    std::vector<float> log_probs(width);
    model.engine().top_k({state, true}, 1, width, ids.data(), log_probs.data());
    std::vector<WordPrediction> words;
    for (int64_t n = 0; n < width && static_cast<int64_t>(words.size()) < k; ++n)
      if (model.tokenizer().is_word(ids[n])) words.push_back({ids[n], std::exp(log_probs[n])});
    if (static_cast<int64_t>(words.size()) == k || width == V) return words;
  }
}

// The softmax among the words that start with the prefix.
std::vector<WordPrediction> best_with_prefix(const FolderModel& model, const float* state,
                                             const std::vector<int64_t>& candidates, int64_t k) {
  if (candidates.empty()) return {};
  std::vector<float> scores(model.engine().model().vocab_size);
  model.engine().decode({state, true}, 1, scores.data());
  if (!std::all_of(scores.begin(), scores.end(), [](float score) { return std::isfinite(score); }))
    throw std::invalid_argument("the scores are not finite");
  float best = scores[candidates.front()];
  for (const int64_t id : candidates) best = std::max(best, scores[id]);
  double sum = 0;
  for (const int64_t id : candidates) sum += std::exp(static_cast<double>(scores[id] - best));
  std::vector<int64_t> ranked = candidates;
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
  ranked.resize(std::min<int64_t>(k, static_cast<int64_t>(ranked.size())));
  std::vector<WordPrediction> words;
  for (const int64_t id : ranked)
    words.push_back(
        {id, static_cast<float>(std::exp(static_cast<double>(scores[id] - best)) / sum)});
  return words;
}

}  // namespace

std::vector<WordPrediction> next_words(const FolderModel& model, const float* state,
                                       std::string_view prefix, int64_t k) {
  const Tokenizer& tokenizer = model.tokenizer();
  tokenizer.check_whole_words();
  const std::string normalized = tokenizer.normalize(prefix);
  if (normalized.empty()) return best_words(model, state, k);
  return best_with_prefix(model, state, tokenizer.words_with_prefix(normalized), k);
}

}  // namespace carousel
