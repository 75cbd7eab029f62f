// Text to tokens, as text/tokenizer.py: words, pieces between white space, or characters. Byte
// pairs are read, but can't be encoded. Unicode's tables come from utf8proc; a library built
// without it has the tokens' texts, but encodes nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "carousel/model.h"

namespace carousel {

constexpr int64_t UNKNOWN_ID = 0;

class Tokenizer {
 public:
  enum class Kind { words, first_words, whitespace, characters, byte_pairs };

  // Throws Error for what is no tokenizer, not one that Carousel made, or not of `vocab_size`
  // tokens; `where` is what it calls the file.
  static Tokenizer from_json(std::string_view text, int64_t vocab_size, const std::string& where);

  Tokenizer(Tokenizer&&) = default;

  // The tokens of a text; a line break is the end-of-line token. Throws Error where the text is not
  // UTF-8, and for kinds that can't be encoded.
  std::vector<int64_t> encode(std::string_view text) const;

  // A text in the form in which it is looked up. Throws Error as `encode`.
  std::string normalize(std::string_view text) const;

  // Throws Error where the next word can't be told: tokens are not whole words, or no utf8proc.
  void check_whole_words() const;
  // The ids of the words (tokens that start with a letter) with a prefix, in order; those of all
  // words for an empty one.
  std::vector<int64_t> words_with_prefix(std::string_view normalized_prefix) const;
  // Whether the token starts with a letter.
  bool is_word(int64_t id) const;
  int64_t word_count() const { return static_cast<int64_t>(sorted_words_.size()); }

  const std::string& token(int64_t id) const { return tokens_[id]; }

 private:
  struct NormalizerStep {
    enum class Kind { nfc, replace, lowercase } kind;
    std::string pattern, content;
  };

  Tokenizer() = default;
  void encode_line(std::string_view line, std::vector<int64_t>& ids) const;
  int64_t find(std::string_view token) const;
  void sort_words();

  Kind kind_ = Kind::words;
  std::vector<NormalizerStep> normalizer_;
  std::vector<std::string> tokens_;                    // by id
  std::unordered_map<std::string_view, int64_t> ids_;  // views of `tokens_`
  std::vector<int64_t> sorted_words_;                  // by their bytes
};

}  // namespace carousel
