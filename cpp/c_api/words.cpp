#include "words.h"

#include <algorithm>
#include <iterator>

#include "unicode.h"

#define EXTEND "(?!\u200b)[\\p{M}\\p{Cf}\\p{Emoji_Modifier}]"
#define LETTERS "[\\p{L}\ufffd](?:[\\p{L}\ufffd\u05f3]|" EXTEND ")*"
#define MID_LETTER "'\u00b7\u0387\u055f\u05f4\u2027"
#define PICTOGRAPH "\\p{Extended_Pictographic}"

namespace carousel {

const char* const WORD = LETTERS "(?:[" MID_LETTER "](?:" EXTEND ")*" LETTERS
                                 ")*"
                                 "|"
                                 "\\p{N}(?:\\p{N}|" EXTEND
                                 ")*"
                                 "|"
                                 "\\p{Regional_Indicator}\\p{Regional_Indicator}"
                                 "|" PICTOGRAPH "(?:" EXTEND "|(?<=\u200d)" PICTOGRAPH
                                 ")*"
                                 "|"
                                 "[^\\s\\p{L}\\p{N}]\\p{M}*";
const char* const FIRST_WORD =
    "\\p{L}[\\p{L}\\p{M}]*(?:'\\p{L}[\\p{L}\\p{M}]*)*|\\p{N}+|[^\\s\\p{L}\\p{N}]";
const char* const CHARACTER = ".";

namespace {

constexpr int32_t ZERO_WIDTH_SPACE = 0x200b, ZERO_WIDTH_JOINER = 0x200d, UNREADABLE = 0xfffd,
                  GERESH = 0x05f3;

bool starts_letters(int32_t c) { return is_letter(c) || c == UNREADABLE; }

bool extends(int32_t c) {
  const bool emoji_modifier = c >= 0x1f3fb && c <= 0x1f3ff;
  return c != ZERO_WIDTH_SPACE && (is_mark(c) || is_format(c) || emoji_modifier);
}

bool joins_letters(int32_t c) {
  constexpr int32_t mid_letter[] = {'\'', 0xb7, 0x387, 0x55f, 0x5f4, 0x2027};
  return std::find(std::begin(mid_letter), std::end(mid_letter), c) != std::end(mid_letter);
}

bool is_regional_indicator(int32_t c) { return c >= 0x1f1e6 && c <= 0x1f1ff; }

// A walk over the characters of a text. Each method that begins with `skip` moves on as far as its
// part of the pattern matches.
class Walk {
 public:
  explicit Walk(std::string_view text) : text_(text), characters_(decode_utf8(text)) {}

  bool at_end() const { return place_ == characters_.size(); }
  int32_t here() const { return characters_[place_].code_point; }
  bool next_is(bool (*test)(int32_t)) const { return !at_end() && test(here()); }
  void skip() { ++place_; }
  void skip_while(bool (*test)(int32_t)) {
    while (next_is(test)) skip();
  }

  // The text from a place to here.
  std::string_view from(size_t place) const {
    return text_.substr(start(place), start(place_) - start(place));
  }
  size_t place() const { return place_; }

  void skip_word() {
    if (starts_letters(here())) return skip_joined_letters();
    if (is_number(here())) return skip_while([](int32_t c) { return is_number(c) || extends(c); });
    const bool regional = is_regional_indicator(here()), pictograph = is_pictograph(here());
    skip();
    if (regional && next_is(is_regional_indicator)) return skip();
    if (pictograph) return skip_pictographs();
    skip_while(is_mark);
  }

  void skip_first_word() {
    if (is_letter(here())) return skip_joined_first_letters();
    if (is_number(here())) return skip_while(is_number);
    skip();
  }

 private:
  size_t start(size_t place) const {
    return place < characters_.size() ? characters_[place].start : text_.size();
  }

  void skip_letters() {
    skip_while([](int32_t c) { return starts_letters(c) || c == GERESH || extends(c); });
  }

  void skip_joined_letters() {
    skip_letters();
    while (next_is(joins_letters)) {
      const size_t joint = place_;
      skip();
      skip_while(extends);
      if (!next_is(starts_letters)) {
        place_ = joint;
        return;
      }
      skip_letters();
    }
  }

  void skip_pictographs() {
    while (!at_end()) {
      const bool joined = characters_[place_ - 1].code_point == ZERO_WIDTH_JOINER;
      if (!extends(here()) && !(joined && is_pictograph(here()))) return;
      skip();
    }
  }

  void skip_joined_first_letters() {
    const auto goes_on = [](int32_t c) { return is_letter(c) || is_mark(c); };
    skip_while(goes_on);
    while (!at_end() && here() == '\'' && place_ + 1 < characters_.size() &&
           is_letter(characters_[place_ + 1].code_point)) {
      skip();
      skip_while(goes_on);
    }
  }

  std::string_view text_;
  std::vector<Character> characters_;
  size_t place_ = 0;
};

std::vector<std::string_view> cut(std::string_view text, void (*skip_piece)(Walk&)) {
  std::vector<std::string_view> pieces;
  Walk walk(text);
  for (walk.skip_while(is_white_space); !walk.at_end(); walk.skip_while(is_white_space)) {
    const size_t start = walk.place();
    skip_piece(walk);
    pieces.push_back(walk.from(start));
  }
  return pieces;
}

}  // namespace

std::vector<std::string_view> cut_words(std::string_view text) {
  return cut(text, [](Walk& walk) { walk.skip_word(); });
}

std::vector<std::string_view> cut_first_words(std::string_view text) {
  return cut(text, [](Walk& walk) { walk.skip_first_word(); });
}

std::vector<std::string_view> split_white_space(std::string_view text) {
  return cut(text,
             [](Walk& walk) { walk.skip_while([](int32_t c) { return !is_white_space(c); }); });
}

std::vector<std::string_view> split_characters(std::string_view text) {
  std::vector<std::string_view> pieces;
  for (Walk walk(text); !walk.at_end();) {
    const size_t start = walk.place();
    walk.skip();
    pieces.push_back(walk.from(start));
  }
  return pieces;
}

}  // namespace carousel
