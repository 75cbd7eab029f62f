// Where words end: the patterns of text/tokenizer.py, character by character.
#pragma once

#include <string_view>
#include <vector>

namespace carousel {

// The patterns as they stand in a tokenizer.json.
extern const char* const WORD;        // words that end where Unicode says
extern const char* const FIRST_WORD;  // of models that were made before
extern const char* const CHARACTER;

// The pieces of a text that the pattern matches, one after the other: all but white space. Throw
// Error for a text that is not UTF-8.
std::vector<std::string_view> cut_words(std::string_view text);        // WORD
std::vector<std::string_view> cut_first_words(std::string_view text);  // FIRST_WORD
std::vector<std::string_view> split_white_space(std::string_view text);
// Every character by itself, white space too.
std::vector<std::string_view> split_characters(std::string_view text);

}  // namespace carousel
