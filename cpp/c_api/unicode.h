// What the tokenizer needs of Unicode, by utf8proc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace carousel {

// A character of a text: its code point, and where its bytes begin.
struct Character {
  int32_t code_point;
  size_t start;
};

// Whether the library was built with utf8proc.
extern const bool HAS_UNICODE;
// Throws Error where it was not.
void require_unicode();

// All of these throw Error for a text that is not UTF-8, and where utf8proc is missing.
std::vector<Character> decode_utf8(std::string_view text);
std::string to_nfc(std::string_view text);
// Each character by itself, as Unicode maps it without regard to its place.
std::string to_lowercase(std::string_view text);

bool is_letter(int32_t code_point);      // \p{L}
bool is_mark(int32_t code_point);        // \p{M}
bool is_number(int32_t code_point);      // \p{N}
bool is_format(int32_t code_point);      // \p{Cf}
bool is_pictograph(int32_t code_point);  // \p{Extended_Pictographic}
bool is_white_space(int32_t code_point);

}  // namespace carousel
