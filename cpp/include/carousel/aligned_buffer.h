// Memory for numbers.
//
// Contract: aligned to cache lines, or to huge pages if it is large; `grow` throws std::bad_alloc
// where there is no memory, and then the buffer is as it was. The contents are not initialized and
// are lost when the buffer grows; it never shrinks.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "carousel/kernels.h"

namespace carousel {

template <class Element>
class AlignedBuffer {
 public:
  Element* grow(int64_t count) {
    if (count > capacity_) {
      constexpr size_t CACHE_LINE = 64, HUGE_PAGE = 2 << 20;
      const size_t bytes = padded(count * static_cast<int64_t>(sizeof(Element)) + 64, 64);
      const size_t alignment = bytes < HUGE_PAGE ? CACHE_LINE : HUGE_PAGE;
      std::unique_ptr<Element, Free> larger(static_cast<Element*>(
          std::aligned_alloc(alignment, padded(bytes, static_cast<int64_t>(alignment)))));
      if (!larger) throw std::bad_alloc();
#if defined(__linux__)
      // Only advice: where there are no huge pages, pages stay small.
      if (alignment == HUGE_PAGE)
        madvise(larger.get(), bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
      memory_ = std::move(larger);
      capacity_ = count;
    }
    return memory_.get();
  }
  Element* get() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(Element* memory) const { std::free(memory); }
  };
  std::unique_ptr<Element, Free> memory_;
  int64_t capacity_ = 0;
};

}  // namespace carousel
