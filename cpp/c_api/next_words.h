// The likeliest next whole words, as predict/next_words.py ranks them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model_folder.h"

namespace carousel {

struct WordPrediction {
  int64_t token;
  float probability;
};

// The `k` likeliest words with a prefix (of all words for an empty one) after a state, best first;
// fewer where there are fewer. Throws Error where the tokens are not whole words.
std::vector<WordPrediction> next_words(const FolderModel& model, const float* state,
                                       std::string_view prefix, int64_t k);

}  // namespace carousel
