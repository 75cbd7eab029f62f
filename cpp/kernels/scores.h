// What decoding needs of scores: the softmax's normalizer, and the best of them.
#pragma once

#include "simd.h"

namespace carousel {
namespace {

typedef double Doubles __attribute__((vector_size(8 * WIDTH)));

constexpr int GROUP = 4;  // registers that are looked at together

// Adds the scores of a chunk to the statistics; candidates are those of this chunk alone.
void add_scores(const float* x, int64_t size, ScoreStatistics& s) {
  s.candidate_count = 0;
  Doubles exp_sums = load<Doubles>(s.exp_sums);
  Floats nan_marker = broadcast(0);
  for (int64_t k = 0; k < size; k += GROUP * WIDTH) {
    float last[GROUP * WIDTH];
    const float* from = x + k;
    const int64_t left = size - k < GROUP * WIDTH ? size - k : GROUP * WIDTH;
    if (left < GROUP * WIDTH) {  // at the end, with what adds nothing
      for (int64_t n = 0; n < GROUP * WIDTH; ++n) last[n] = n < left ? from[n] : -3e38f;
      from = last;
    }
    Floats scores[GROUP], maxima = broadcast(-3e38f);
    UNROLL
    for (int n = 0; n < GROUP; ++n) {
      scores[n] = load<Floats>(from + n * WIDTH);
      maxima = max(scores[n], maxima);
      nan_marker += scores[n] * 0.0f;  // what is not finite leaves NaN there; exp would hide it
    }
    if (any_set((Ints)(maxima > (s.max < s.threshold ? s.max : s.threshold)))) {
      if (const float top = horizontal_max(maxima); top > s.max) {
        exp_sums *= std::exp(static_cast<double>(s.max) - top);
        s.max = top;
      }
      for (int64_t n = 0; n < left; ++n)
        if (from[n] > s.threshold) s.candidates[s.candidate_count++] = static_cast<int32_t>(k + n);
    }
    Floats sums = broadcast(0);
    UNROLL
    for (int n = 0; n < GROUP; ++n) sums += exp(scores[n] - s.max);
    exp_sums += __builtin_convertvector(sums, Doubles);
  }
  std::memcpy(s.exp_sums, &exp_sums, sizeof exp_sums);
  s.nan_marker += horizontal_sum(nan_marker);
}

int64_t find_above(const float* x, int64_t size, float threshold, int32_t* indices) {
  int64_t count = 0, k = 0;
  for (; k + WIDTH <= size; k += WIDTH) {
    if (!any_set((Ints)(load<Floats>(x + k) > threshold))) continue;
    for (int64_t j = k; j < k + WIDTH; ++j)
      if (x[j] > threshold) indices[count++] = static_cast<int32_t>(j);
  }
  for (; k < size; ++k)
    if (x[k] > threshold) indices[count++] = static_cast<int32_t>(k);
  return count;
}

}  // namespace
}  // namespace carousel
