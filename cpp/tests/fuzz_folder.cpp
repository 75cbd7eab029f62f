// The fuzzer of model folders: any bytes as a folder's files must be refused or run cleanly.
//
// An input is the three files one after the other, with SEPARATOR between them:
// config.json, tokenizer.json, model.safetensors. tests/cpp/fuzz_seeds.py writes the first ones.
#include <cmath>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "../c_api/error.h"
#include "../c_api/model_folder.h"
#include "../c_api/next_words.h"

using namespace carousel;

namespace {

constexpr std::string_view SEPARATOR = "\n--8<--\n";

// Cuts off the part before the next separator. Copied, so that reading beyond it is noticed, to
// where numbers are aligned as in a mapped file.
std::vector<char> next_part(std::string_view& rest) {
  const size_t end = rest.find(SEPARATOR);
  const std::string_view part = rest.substr(0, end);
  rest = end == std::string_view::npos ? "" : rest.substr(end + SEPARATOR.size());
  return {part.begin(), part.end()};
}

std::string_view view(const std::vector<char>& bytes) { return {bytes.data(), bytes.size()}; }

void use(const FolderModel& model, std::string_view text) {
  Engine& engine = model.engine();
  const int64_t last = engine.model().vocab_size - 1;
  std::vector<float> state(engine.state_size());
  std::vector<int64_t> tokens = {END_OF_LINE_ID, last};
  try {
    for (const int64_t id : model.tokenizer().encode(text.substr(0, 100))) tokens.push_back(id);
    for (const auto& word : next_words(model, state.data(), text.substr(0, 1), 3))
      if (!(word.probability >= 0 && word.probability <= 1.0001f)) std::abort();
  } catch (const Error&) {  // not UTF-8, or a tokenizer of another kind
  }
  const auto count = static_cast<int64_t>(tokens.size());
  std::vector<float> log_probs(count);
  engine.score(tokens.data(), count, 1, state.data(), log_probs.data());
  for (const float log_prob : log_probs)
    if (!(log_prob <= 0.001f)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const std::vector<char> config_text = next_part(rest), tokenizer = next_part(rest);
  const std::vector<char> weights(rest.begin(), rest.end());
  try {
    const Config config = Config::from_json(view(config_text), "folder/config.json");
    use(FolderModel({view(weights), view(tokenizer)}, "folder", config), view(tokenizer));
  } catch (const Error&) {
  } catch (const std::invalid_argument&) {  // scores that overflow
  }
  return 0;
}
