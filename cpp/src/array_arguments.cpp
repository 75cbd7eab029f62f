#include "array_arguments.h"

#include <unistd.h>

#include <cstring>

namespace carousel {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t axis = 0; axis < shape.size(); ++axis)
    text += (axis ? ", " : "") + std::to_string(shape[axis]);
  return text + "]";
}

}  // namespace

void refuse(const std::string& message) { throw nb::value_error(message.c_str()); }

void check_array(const Array& array, const char* name, nb::dlpack::dtype dtype, size_t alignment,
                 const std::vector<int64_t>& shape) {
  if (array.device_type() != nb::device::cpu::value || array.dtype() != dtype)
    throw nb::type_error((std::string(name) + " has another type than it must have").c_str());
  std::vector<int64_t> given;
  for (size_t axis = 0; axis < array.ndim(); ++axis)
    given.push_back(static_cast<int64_t>(array.shape(axis)));
  if (given != shape)
    refuse(std::string(name) + " has shape " + shape_text(given) + ", not " + shape_text(shape));
  if (array.size() == 0) return;
  int64_t stride = 1;
  for (size_t axis = shape.size(); axis-- > 0; stride *= shape[axis])
    if (shape[axis] > 1 && array.stride(axis) != stride)
      refuse(std::string(name) + " must be contiguous");
  if (reinterpret_cast<uintptr_t>(array.data()) % alignment)
    refuse(std::string(name) + " is not aligned");
}

float* checked_output_or_null(nb::handle object, const char* name,
                              const std::vector<int64_t>& shape) {
  if (object.is_none()) return nullptr;
  return checked_output<float>(cast<OutputArray>(object, name), name, shape);
}

std::pair<int64_t, int64_t> checked_axes(const Array& array, const char* name) {
  if (array.ndim() != 2) refuse(std::string(name) + " must have two axes");
  return {static_cast<int64_t>(array.shape(0)), static_cast<int64_t>(array.shape(1))};
}

void check_finite(const float* values, int64_t count, const char* name) {
  uint32_t any_bad = 0;  // an exponent with all bits set overflows into the sign
  for (int64_t k = 0; k < count; ++k) {
    uint32_t bits;
    std::memcpy(&bits, values + k, sizeof bits);
    any_bad |= (bits & 0x7fffffffu) + 0x00800000u;
  }
  if (any_bad & 0x80000000u) refuse(std::string(name) + " holds a value that is not finite");
}

std::vector<int64_t> copy_tokens(const Array& tokens, const std::vector<int64_t>& shape,
                                 int64_t vocab_size) {
  const int64_t* ids = checked<int64_t>(tokens, "tokens", shape);
  std::vector<int64_t> copy(ids, ids + tokens.size());
  for (const int64_t id : copy)
    if (id < 0 || id >= vocab_size)
      throw nb::index_error(("token " + std::to_string(id) + " is not among the " +
                             std::to_string(vocab_size) + " known")
                                .c_str());
  return copy;
}

ReleasedGil::ReleasedGil() : thread_state_(PyEval_SaveThread()) {}

// A program may end while a daemon thread computes. Python before 3.14 then ends the thread where
// it asks for the GIL, by unwinding its stack, which must not leave a destructor: the thread stays
// here until the process is gone.
ReleasedGil::~ReleasedGil() {
  try {
    PyEval_RestoreThread(thread_state_);
  } catch (...) {
    for (;;) pause();
  }
}

}  // namespace carousel
