// What the room of the C API throws, and what its functions make a status of.
#pragma once

#include <stdexcept>
#include <string>

#include "carousel.h"

namespace carousel {

class Error : public std::runtime_error {
 public:
  Error(carousel_status status, const std::string& message)
      : std::runtime_error(message), status_(status) {}
  carousel_status status() const { return status_; }

 private:
  carousel_status status_;
};

[[noreturn]] inline void refuse_argument(const std::string& message) {
  throw Error(CAROUSEL_INVALID_ARGUMENT, message);
}

[[noreturn]] inline void refuse_model(const std::string& message) {
  throw Error(CAROUSEL_INVALID_MODEL, message);
}

[[noreturn]] inline void refuse_unsupported(const std::string& message) {
  throw Error(CAROUSEL_UNSUPPORTED, message);
}

}  // namespace carousel
