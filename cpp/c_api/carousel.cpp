// The functions of carousel.h: arguments are checked here, and every exception ends here.
#include "carousel.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "error.h"
#include "model_folder.h"
#include "next_words.h"

struct carousel_model {
  carousel::OpenedFolder folder;
};

namespace {

using namespace carousel;

constexpr size_t MAX_MESSAGE = 500;
thread_local char last_error[MAX_MESSAGE + 1] = "";

// Text from files is in messages: all but printable ASCII is shown as the hexadecimal of its bytes.
// It allocates nothing, as there may be no memory left.
carousel_status report(carousel_status status, const char* message) noexcept {
  static const char digits[] = "0123456789abcdef";
  size_t length = 0;
  for (const char* from = message; *from && length + 4 <= MAX_MESSAGE; ++from) {
    const unsigned char byte = static_cast<unsigned char>(*from);
    if (byte >= ' ' && byte <= '~') {
      last_error[length++] = *from;
      continue;
    }
    const char shown[] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    std::memcpy(last_error + length, shown, sizeof shown);
    length += sizeof shown;
  }
  last_error[length] = '\0';
  return status;
}

// Runs `body`, and makes a status of what it throws.
template <class Body>
carousel_status guard(Body&& body) noexcept {
  try {
    body();
    return CAROUSEL_OK;
  } catch (const Error& error) {
    return report(error.status(), error.what());
  } catch (const std::bad_alloc&) {
    return report(CAROUSEL_OUT_OF_MEMORY, "there is not enough memory");
  } catch (const std::length_error&) {
    return report(CAROUSEL_OUT_OF_MEMORY, "there is not enough memory");
  } catch (const std::invalid_argument& error) {  // the engine's, for scores that overflow
    return report(CAROUSEL_NOT_FINITE, error.what());
  } catch (const std::exception& error) {
    return report(CAROUSEL_INTERNAL_ERROR, error.what());
  } catch (...) {
    return report(CAROUSEL_INTERNAL_ERROR, "an unknown error");
  }
}

template <class Pointer>
void require(const Pointer* pointer, const char* name) {
  if (!pointer) refuse_argument(std::string(name) + " must not be null");
}

const FolderModel& checked_model(const carousel_model* model) {
  require(model, "model");
  return model->folder.model();
}

int64_t checked_token(const FolderModel& model, int64_t token) {
  const int64_t known = model.engine().model().vocab_size;
  if (token < 0 || token >= known)
    refuse_argument("token " + std::to_string(token) + " is not among the " +
                    std::to_string(known) + " known");
  return token;
}

int64_t checked_tokens(const FolderModel& model, const int64_t* tokens, size_t count) {
  if (count) require(tokens, "tokens");
  for (size_t n = 0; n < count; ++n) checked_token(model, tokens[n]);
  return static_cast<int64_t>(count);
}

bool is_finite(const float* values, size_t count) {
  return std::all_of(values, values + count, [](float value) { return std::isfinite(value); });
}

void check_state(const FolderModel& model, const float* state, size_t state_size) {
  require(state, "state");
  const size_t expected = static_cast<size_t>(model.engine().state_size());
  if (state_size != expected)
    refuse_argument("state_size is " + std::to_string(expected) + ", not " +
                    std::to_string(state_size));
  if (!is_finite(state, expected)) refuse_argument("state holds a value that is not finite");
}

void check_state_after(const float* state, size_t state_size) {
  if (!is_finite(state, state_size)) throw std::invalid_argument("the state is not finite");
}

}  // namespace

const char* carousel_version(void) { return CAROUSEL_VERSION; }

const char* carousel_last_error(void) { return last_error; }

carousel_status carousel_open(const char* folder, carousel_model** model) {
  return guard([&] {
    require(folder, "folder");
    require(model, "model");
    *model = nullptr;
    *model = new carousel_model{OpenedFolder(folder)};
  });
}

void carousel_close(carousel_model* model) { delete model; }

size_t carousel_vocab_size(const carousel_model* model) {
  return model ? static_cast<size_t>(model->folder.model().engine().model().vocab_size) : 0;
}

size_t carousel_state_size(const carousel_model* model) {
  return model ? static_cast<size_t>(model->folder.model().engine().state_size()) : 0;
}

carousel_status carousel_step(const carousel_model* model, const int64_t* tokens, size_t count,
                              float* state, size_t state_size) {
  return guard([&] {
    const FolderModel& checked = checked_model(model);
    check_state(checked, state, state_size);
    const int64_t T = checked_tokens(checked, tokens, count);
    checked.engine().read(tokens, T, 1, state, nullptr);
    check_state_after(state, state_size);
  });
}

carousel_status carousel_top_k(const carousel_model* model, const float* state, size_t state_size,
                               size_t k, int64_t* tokens, float* log_probs) {
  return guard([&] {
    const FolderModel& checked = checked_model(model);
    check_state(checked, state, state_size);
    require(tokens, "tokens");
    require(log_probs, "log_probs");
    if (k < 1 || k > carousel_vocab_size(model))
      refuse_argument("k must be 1 to " + std::to_string(carousel_vocab_size(model)));
    checked.engine().top_k({state, true}, 1, static_cast<int64_t>(k), tokens, log_probs);
  });
}

carousel_status carousel_next_words(const carousel_model* model, const float* state,
                                    size_t state_size, const char* prefix, size_t k,
                                    int64_t* tokens, float* probabilities, size_t* count) {
  return guard([&] {
    const FolderModel& checked = checked_model(model);
    check_state(checked, state, state_size);
    require(count, "count");
    require(tokens, "tokens");
    require(probabilities, "probabilities");
    if (k < 1) refuse_argument("k must be at least 1");
    const auto most = static_cast<int64_t>(std::min(k, carousel_vocab_size(model)));
    const auto words = next_words(checked, state, prefix ? prefix : "", most);
    for (size_t n = 0; n < words.size(); ++n) {
      tokens[n] = words[n].token;
      probabilities[n] = words[n].probability;
    }
    *count = words.size();
  });
}

carousel_status carousel_log_prob(const carousel_model* model, const float* state,
                                  size_t state_size, int64_t token, float* log_prob) {
  return guard([&] {
    const FolderModel& checked = checked_model(model);
    check_state(checked, state, state_size);
    require(log_prob, "log_prob");
    checked_token(checked, token);
    checked.engine().log_prob({state, true}, 1, &token, log_prob);
  });
}

carousel_status carousel_score(const carousel_model* model, const int64_t* tokens, size_t count,
                               float* state, size_t state_size, float* log_probs) {
  return guard([&] {
    const FolderModel& checked = checked_model(model);
    check_state(checked, state, state_size);
    const int64_t T = checked_tokens(checked, tokens, count);
    if (count) require(log_probs, "log_probs");
    checked.engine().score(tokens, T, 1, state, log_probs);
    check_state_after(state, state_size);
  });
}

carousel_status carousel_encode(const carousel_model* model, const char* text, int64_t* tokens,
                                size_t capacity, size_t* count) {
  return guard([&] {
    const FolderModel& checked = checked_model(model);
    require(text, "text");
    require(count, "count");
    if (capacity) require(tokens, "tokens");
    const auto ids = checked.tokenizer().encode(text);
    std::copy_n(ids.begin(), std::min(capacity, ids.size()), tokens);
    *count = ids.size();
  });
}

carousel_status carousel_token(const carousel_model* model, int64_t token, const char** text,
                               size_t* length) {
  return guard([&] {
    const FolderModel& checked = checked_model(model);
    require(text, "text");
    const std::string& found = checked.tokenizer().token(checked_token(checked, token));
    *text = found.c_str();
    if (length) *length = found.size();
  });
}
