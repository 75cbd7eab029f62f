#include "unicode.h"

#include "error.h"

#if defined(CAROUSEL_UTF8PROC)

#include <utf8proc.h>

#include <cstdlib>
#include <memory>
#include <new>

namespace carousel {

const bool HAS_UNICODE = true;
void require_unicode() {}

namespace {

constexpr size_t MAX_TEXT_BYTES = 1 << 30;  // far from where sizes overflow inside utf8proc

const utf8proc_uint8_t* bytes_of_text(std::string_view text) {
  if (text.size() > MAX_TEXT_BYTES) refuse_argument("the text is too long: 1 GiB at most");
  return reinterpret_cast<const utf8proc_uint8_t*>(text.data());
}

void append(int32_t code_point, std::string& text) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t length = utf8proc_encode_char(code_point, bytes);
  text.append(reinterpret_cast<const char*>(bytes), length);
}

}  // namespace

std::vector<Character> decode_utf8(std::string_view text) {
  const utf8proc_uint8_t* bytes = bytes_of_text(text);
  std::vector<Character> characters;
  characters.reserve(text.size());
  for (size_t start = 0; start < text.size();) {
    utf8proc_int32_t code_point;
    const utf8proc_ssize_t length =
        utf8proc_iterate(bytes + start, text.size() - start, &code_point);
    if (length <= 0) refuse_argument("the text is not UTF-8");
    characters.push_back({code_point, start});
    start += length;
  }
  return characters;
}

std::string to_nfc(std::string_view text) {
  utf8proc_uint8_t* composed = nullptr;
  const utf8proc_ssize_t length =
      utf8proc_map(bytes_of_text(text), text.size(), &composed,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(composed, &std::free);
  if (length == UTF8PROC_ERROR_NOMEM) throw std::bad_alloc();
  if (length < 0) refuse_argument("the text is not UTF-8");
  return {reinterpret_cast<const char*>(composed), static_cast<size_t>(length)};
}

std::string to_lowercase(std::string_view text) {
  constexpr int32_t CAPITAL_I_WITH_DOT =
      0x130;  // the one that becomes two: Unicode's SpecialCasing
  std::string lowered;
  lowered.reserve(text.size());
  for (const Character& character : decode_utf8(text)) {
    if (character.code_point == CAPITAL_I_WITH_DOT)
      lowered += "i\u0307";
    else
      append(utf8proc_tolower(character.code_point), lowered);
  }
  return lowered;
}

bool is_letter(int32_t code_point) {
  const utf8proc_category_t category = utf8proc_category(code_point);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_mark(int32_t code_point) {
  const utf8proc_category_t category = utf8proc_category(code_point);
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

bool is_number(int32_t code_point) {
  const utf8proc_category_t category = utf8proc_category(code_point);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool is_format(int32_t code_point) { return utf8proc_category(code_point) == UTF8PROC_CATEGORY_CF; }

bool is_pictograph(int32_t code_point) {
  return utf8proc_get_property(code_point)->boundclass == UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC;
}

bool is_white_space(int32_t code_point) {
  constexpr int32_t NEXT_LINE = 0x85;  // with tab to carriage return, those that are controls
  const utf8proc_category_t category = utf8proc_category(code_point);
  return (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP) ||
         (code_point >= '\t' && code_point <= '\r') || code_point == NEXT_LINE;
}

}  // namespace carousel

#else

namespace carousel {
namespace {

[[noreturn]] void refuse_text() {
  refuse_unsupported("this library was built without utf8proc: it can't cut text into tokens");
}

}  // namespace

const bool HAS_UNICODE = false;
void require_unicode() { refuse_text(); }

std::vector<Character> decode_utf8(std::string_view) { refuse_text(); }
std::string to_nfc(std::string_view) { refuse_text(); }
std::string to_lowercase(std::string_view) { refuse_text(); }
bool is_letter(int32_t) { refuse_text(); }
bool is_mark(int32_t) { refuse_text(); }
bool is_number(int32_t) { refuse_text(); }
bool is_format(int32_t) { refuse_text(); }
bool is_pictograph(int32_t) { refuse_text(); }
bool is_white_space(int32_t) { refuse_text(); }

}  // namespace carousel

#endif
