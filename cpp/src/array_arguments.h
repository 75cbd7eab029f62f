// Arguments from Python: what must hold of them is checked before a pointer of them is used.
//
// Contract: each function returns what was asked for or throws the Python error that says what is
// wrong (TypeError, ValueError, IndexError), with the argument's name in it.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <string>
#include <vector>

namespace carousel {

namespace nb = nanobind;

using Array = nb::ndarray<nb::ro>;
using OutputArray = nb::ndarray<>;

// Throws ValueError.
[[noreturn]] void refuse(const std::string& message);

// An object as what it must be.
template <class Wanted>
Wanted cast(nb::handle object, const char* name) {
  Wanted value;
  if (!nb::try_cast<Wanted>(object, value, false))
    throw nb::type_error((std::string(name) + " is not what it must be").c_str());
  return value;
}

// Checks that the array is on the processor, contiguous, aligned, and of the type and shape
// expected.
void check_array(const Array& array, const char* name, nb::dlpack::dtype dtype, size_t alignment,
                 const std::vector<int64_t>& shape);

template <class Element>
const Element* checked(const Array& array, const char* name, const std::vector<int64_t>& shape) {
  check_array(array, name, nb::dtype<Element>(), alignof(Element), shape);
  return static_cast<const Element*>(array.data());
}

// Where results are to be written; only arrays that may be written to can be an OutputArray.
template <class Element>
Element* checked_output(const OutputArray& array, const char* name,
                        const std::vector<int64_t>& shape) {
  return const_cast<Element*>(checked<Element>(Array(array), name, shape));
}

// The same of an object that may be None, for which it returns null.
float* checked_output_or_null(nb::handle object, const char* name,
                              const std::vector<int64_t>& shape);

// The two axes of an array.
std::pair<int64_t, int64_t> checked_axes(const Array& array, const char* name);

void check_finite(const float* values, int64_t count, const char* name);

// A copy of ids, checked after it was made: another thread may change the array meanwhile, or it
// may share its memory with an output.
std::vector<int64_t> copy_tokens(const Array& tokens, const std::vector<int64_t>& shape,
                                 int64_t vocab_size);

// Lets other Python threads run as long as it lives.
class ReleasedGil {
 public:
  ReleasedGil();
  ~ReleasedGil();
  ReleasedGil(const ReleasedGil&) = delete;
  ReleasedGil& operator=(const ReleasedGil&) = delete;

 private:
  PyThreadState* thread_state_;
};

}  // namespace carousel
