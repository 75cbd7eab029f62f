#include "tokenizer.h"

#include <algorithm>
#include <numeric>

#include "error.h"
#include "strict_json.h"
#include "unicode.h"
#include "words.h"

namespace carousel {
namespace {

using nlohmann::json;

const char* const UNKNOWN = "<unk>";
const char* const END_OF_LINE = "<eos>";

// More values than that no tokenizer of so many tokens has: a token, its id, and for byte pairs a
// merge of two names.
constexpr size_t values_of(int64_t vocab_size) {
  return 8 * static_cast<size_t>(vocab_size) + 4096;
}

const json& member(const json& table, const char* name) {
  static const json missing;
  if (!table.is_object()) return missing;
  const auto found = table.find(name);
  return found == table.end() ? missing : *found;
}

bool is_split(const json& pre_tokenizer, const char* pattern, const char* behavior, bool invert) {
  return member(pre_tokenizer, "type") == "Split" &&
         member(member(pre_tokenizer, "pattern"), "Regex") == pattern &&
         member(pre_tokenizer, "behavior") == behavior && member(pre_tokenizer, "invert") == invert;
}

std::string replace_all(std::string_view text, const std::string& pattern,
                        const std::string& content) {
  std::string replaced;
  size_t start = 0;
  for (size_t found; (found = text.find(pattern, start)) != std::string_view::npos;
       start = found + pattern.size())
    replaced.append(text, start, found - start) += content;
  return replaced.append(text, start);
}

// The tokens by id, which must be 0 to vocab_size - 1.
std::vector<std::string> read_tokens(json& vocab, int64_t vocab_size, const std::string& where) {
  if (static_cast<int64_t>(vocab.size()) != vocab_size)
    refuse_model(where + " has " + std::to_string(vocab.size()) + " tokens, config.json says " +
                 std::to_string(vocab_size));
  std::vector<std::string> tokens(vocab_size);
  std::vector<bool> known(vocab_size);
  for (const auto& [token, id] : vocab.items()) {
    if (!id.is_number_unsigned() || id >= vocab_size || known[id.get<size_t>()])
      refuse_model(where + ": its tokens are not numbered from 0 on");
    tokens[id.get<size_t>()] = token;
    known[id.get<size_t>()] = true;
  }
  return tokens;
}

}  // namespace

Tokenizer Tokenizer::from_json(std::string_view text, int64_t vocab_size,
                               const std::string& where) {
  json table = parse_json(text, where, values_of(vocab_size));
  const json& cutter = member(table, "pre_tokenizer");
  const json& model = member(table, "model");
  const json& added = member(table, "added_tokens");
  const bool byte_pairs = member(cutter, "type") == "ByteLevel";
  Tokenizer tokenizer;
  if (byte_pairs)
    tokenizer.kind_ = Kind::byte_pairs;
  else if (member(cutter, "type") == "WhitespaceSplit")
    tokenizer.kind_ = Kind::whitespace;
  else if (is_split(cutter, WORD, "Removed", true))
    tokenizer.kind_ = Kind::words;
  else if (is_split(cutter, FIRST_WORD, "Removed", true))
    tokenizer.kind_ = Kind::first_words;
  else if (is_split(cutter, CHARACTER, "Isolated", false))
    tokenizer.kind_ = Kind::characters;
  else
    refuse_model(where + " is not a tokenizer that Carousel made");
  if (!(added.is_null() || added.empty()) || !member(model, "vocab").is_object() ||
      member(model, "type") != (byte_pairs ? "BPE" : "WordLevel") ||
      (!byte_pairs && member(model, "unk_token") != UNKNOWN))
    refuse_model(where + " is not a tokenizer that Carousel made");

  const json& normalizer = member(table, "normalizer");
  json steps = json::array();
  if (member(normalizer, "type") == "Sequence")
    steps = member(normalizer, "normalizers");
  else if (!normalizer.is_null())
    steps.push_back(normalizer);
  for (const json& step : steps) {
    const json& pattern = member(member(step, "pattern"), "String");
    const json& content = member(step, "content");
    if (member(step, "type") == "NFC")
      tokenizer.normalizer_.push_back({NormalizerStep::Kind::nfc, "", ""});
    else if (member(step, "type") == "Lowercase")
      tokenizer.normalizer_.push_back({NormalizerStep::Kind::lowercase, "", ""});
    else if (member(step, "type") == "Replace" && pattern.is_string() && pattern != "" &&
             content.is_string())
      tokenizer.normalizer_.push_back(
          {NormalizerStep::Kind::replace, pattern.get<std::string>(), content.get<std::string>()});
    else
      refuse_unsupported(where + " changes text in a way that this library does not have");
  }
  tokenizer.tokens_ = read_tokens(table["model"]["vocab"], vocab_size, where);
  for (int64_t id = 0; id < vocab_size; ++id) tokenizer.ids_[tokenizer.tokens_[id]] = id;
  if (tokenizer.find(END_OF_LINE) != END_OF_LINE_ID || tokenizer.tokens_[UNKNOWN_ID] != UNKNOWN)
    refuse_model(where + " is not a tokenizer that Carousel made");
  tokenizer.sort_words();
  return tokenizer;
}

int64_t Tokenizer::find(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? UNKNOWN_ID : found->second;
}

std::string Tokenizer::normalize(std::string_view text) const {
  std::string normalized(text);
  for (const NormalizerStep& step : normalizer_) {
    switch (step.kind) {
      case NormalizerStep::Kind::nfc: normalized = to_nfc(normalized); break;
      case NormalizerStep::Kind::lowercase: normalized = to_lowercase(normalized); break;
      case NormalizerStep::Kind::replace:
        normalized = replace_all(normalized, step.pattern, step.content);
    }
  }
  return normalized;
}

std::vector<int64_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int64_t> ids;
  for (size_t start = 0;;) {
    const size_t end = text.find('\n', start);
    encode_line(text.substr(start, end - start), ids);
    if (end == std::string_view::npos) return ids;
    ids.push_back(END_OF_LINE_ID);
    start = end + 1;
  }
}

void Tokenizer::encode_line(std::string_view line, std::vector<int64_t>& ids) const {
  const std::string normalized = normalize(line);
  std::vector<std::string_view> pieces;
  switch (kind_) {
    case Kind::words: pieces = cut_words(normalized); break;
    case Kind::first_words: pieces = cut_first_words(normalized); break;
    case Kind::whitespace: pieces = split_white_space(normalized); break;
    case Kind::characters: pieces = split_characters(normalized); break;
    case Kind::byte_pairs:
      refuse_unsupported("the model reads byte pairs, into which this library can't cut text");
  }
  for (const std::string_view piece : pieces) ids.push_back(find(piece));
}

bool Tokenizer::is_word(int64_t id) const {
  if (id <= END_OF_LINE_ID || tokens_[id].empty()) return false;
  return is_letter(decode_utf8(std::string_view(tokens_[id])).front().code_point);
}

void Tokenizer::check_whole_words() const {
  if (kind_ == Kind::characters || kind_ == Kind::byte_pairs)
    refuse_unsupported("the model's tokens are not whole words");
  require_unicode();
}

// By their bytes, which is the order of their characters in UTF-8.
void Tokenizer::sort_words() {
  if (!HAS_UNICODE) return;
  for (int64_t id = 0; id < static_cast<int64_t>(tokens_.size()); ++id)
    if (is_word(id)) sorted_words_.push_back(id);
  std::sort(sorted_words_.begin(), sorted_words_.end(),
            [&](int64_t a, int64_t b) { return tokens_[a] < tokens_[b]; });
}

std::vector<int64_t> Tokenizer::words_with_prefix(std::string_view prefix) const {
  const auto starts = [&](int64_t id) {
    return std::string_view(tokens_[id]).substr(0, prefix.size());
  };
  const auto first =
      std::lower_bound(sorted_words_.begin(), sorted_words_.end(), prefix,
                       [&](int64_t id, std::string_view p) { return starts(id) < p; });
  const auto last =
      std::upper_bound(first, sorted_words_.end(), prefix,
                       [&](std::string_view p, int64_t id) { return p < starts(id); });
  std::vector<int64_t> ids(first, last);
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace carousel
