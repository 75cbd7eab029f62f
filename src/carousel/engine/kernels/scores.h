// What decoding needs of scores: their normaliser, and the best of them.
#pragma once

#include "simd.h"

namespace carousel {
namespace {

typedef double Doubles __attribute__((vector_size(8 * WIDTH)));

constexpr int GROUP = 4;  // vectors that are looked at together

// Adds scores to a tally.
void add(const float* x, int64_t size, Tally& t) {
  Doubles all = load<Doubles>(t.sums);
  Floats fault = splat(0);
  for (int64_t k = 0; k < size; k += GROUP * WIDTH) {
    float rest[GROUP * WIDTH];
    const float* from = x + k;
    const int64_t there = size - k < GROUP * WIDTH ? size - k : GROUP * WIDTH;
    if (there < GROUP * WIDTH) {  // at the end, with what adds nothing
      for (int64_t n = 0; n < GROUP * WIDTH; ++n) rest[n] = n < there ? from[n] : -3e38f;
      from = rest;
    }
    Floats scores[GROUP], most = splat(-3e38f);
    UNROLL for (int n = 0; n < GROUP; ++n) {
      scores[n] = load<Floats>(from + n * WIDTH);
      most = larger(scores[n], most);
      fault += scores[n] * 0.0f;  // what is not finite leaves NaN there; exp would hide it
    }
    if (any((Ints)(most > (t.largest < t.bar ? t.largest : t.bar)))) {
      if (const float top = largest_of(most); top > t.largest) {
        all *= std::exp(static_cast<double>(t.largest) - top);
        t.largest = top;
      }
      for (int64_t n = 0; n < there; ++n)
        if (from[n] > t.bar) t.places[t.found++] = static_cast<int32_t>(k + n);
    }
    Floats sums = splat(0);
    UNROLL for (int n = 0; n < GROUP; ++n) sums += exp(scores[n] - t.largest);
    all += __builtin_convertvector(sums, Doubles);
  }
  std::memcpy(t.sums, &all, sizeof all);
  t.fault += sum(fault);
}

int64_t above(const float* x, int64_t size, float bound, int32_t* places) {
  int64_t found = 0, k = 0;
  for (; k + WIDTH <= size; k += WIDTH) {
    if (!any((Ints)(load<Floats>(x + k) > bound))) continue;
    for (int64_t j = k; j < k + WIDTH; ++j)
      if (x[j] > bound) places[found++] = static_cast<int32_t>(j);
  }
  for (; k < size; ++k)
    if (x[k] > bound) places[found++] = static_cast<int32_t>(k);
  return found;
}

}  // namespace
}  // namespace carousel
