// Float32 and bfloat16 matrices by a few vectors (matvec): row by row, as they lie.
#pragma once

#include "simd.h"

namespace carousel {
namespace {

inline Floats load_weights(const float* w) { return load<Floats>(w); }

// A bfloat16 is the upper half of a float32.
inline Floats load_weights(const uint16_t* w) {
  return (Floats)(__builtin_convertvector(load<Bfloat16s>(w), Bits) << 16);
}

// Two registers full of a row.
struct Pair {
  Floats a, b;
};

inline Pair load_pair(const float* w) { return {load<Floats>(w), load<Floats>(w + WIDTH)}; }

// A bfloat16 is the upper half of a float32, so that two vectors lie in one: first those at even
// places, then those at odd ones.
inline Pair load_pair(const uint16_t* w) {
  const Bits interleaved = load<Bits>(w);
  return {(Floats)(interleaved << 16), (Floats)(interleaved & 0xffff0000u)};
}

// Vectors for rows of bfloat16: each 2 * WIDTH values as `load_pair` has them, and zeros to the
// end.
inline void deinterleave(const float* x, int64_t columns, float* to) {
  for (int64_t k = 0; k < columns; k += 2 * WIDTH, to += 2 * WIDTH) {
    float interleaved[2 * WIDTH] = {};
    const int64_t left = columns - k < 2 * WIDTH ? columns - k : 2 * WIDTH;
    std::memcpy(interleaved, x + k, left * sizeof *x);
    for (int n = 0; n < WIDTH; ++n) {
      to[n] = interleaved[2 * n];
      to[n + WIDTH] = interleaved[2 * n + 1];
    }
  }
}

// A row may be read up to the next multiple of what is read at a time: what stands there is finite,
// and is multiplied by the zeros that pad the vector. Only the matrix's own end needs a copy.
template <class Element>
inline const Element* row_or_copy(const Matrix& m, int64_t row, int64_t padded_columns,
                                  Element* copy) {
  const Element* w = static_cast<const Element*>(m.data) + row * m.columns;
  const int64_t left = (m.rows - row) * m.columns;
  if (left >= padded_columns) return w;
  std::memcpy(copy, w, left * sizeof *w);
  std::memset(copy + left, 0, (padded_columns - left) * sizeof *w);
  return copy;
}

template <int R>
inline void store_row_sums(const Floats (&sums)[4], const float* bias, float* y) {
  float totals[4];
  horizontal_sums(sums, totals);
  UNROLL
  for (int r = 0; r < R; ++r) y[r] = totals[r] + (bias ? bias[r] : 0.0f);
}

// One long row by one vector, read straight on with four sums in flight: memory is read fastest so.
template <class Element>
inline Floats dot_product(const Element* w, const float* x, int64_t columns) {
  constexpr bool is_float = sizeof(Element) == sizeof(float);
  Floats a = broadcast(0), b = a, c = a, d = a;
  int64_t k = 0;
  for (; k + 4 * WIDTH <= columns; k += 4 * WIDTH) {
    prefetch_ahead<4 * WIDTH * sizeof(Element)>(w + k);
    const Pair first = load_pair(w + k), second = load_pair(w + k + 2 * WIDTH);
    a += first.a * load<Floats>(x + k);
    b += first.b * load<Floats>(x + k + WIDTH);
    c += second.a * load<Floats>(x + k + 2 * WIDTH);
    d += second.b * load<Floats>(x + k + 3 * WIDTH);
  }
  if constexpr (is_float) {
    for (; k < columns; k += WIDTH) a += load_weights(w + k) * load<Floats>(x + k);
  } else {
    for (; k < columns; k += 2 * WIDTH) {
      const Pair rest = load_pair(w + k);
      a += rest.a * load<Floats>(x + k);
      b += rest.b * load<Floats>(x + k + WIDTH);
    }
  }
  return (a + b) + (c + d);
}

// R rows by C vectors, all their sums in registers, each value loaded once for all. Of one vector
// there are two sums a row, since one alone would wait for itself.
template <class Element, int R, int C>
inline void multiply_block(const Element* const* w, const float* x, int64_t x_stride,
                           int64_t columns, const float* bias, float* y, int64_t stride) {
  constexpr bool is_float = sizeof(Element) == sizeof(float);
  constexpr int CHAINS = C == 1 ? 2 : 1;
  Floats sums[CHAINS][C][4] = {};
  int64_t k = 0;
  for (; k + (is_float ? WIDTH : 0) < columns; k += 2 * WIDTH) {
    Pair rows[R];
    UNROLL
    for (int r = 0; r < R; ++r) rows[r] = load_pair(w[r] + k);
    UNROLL
    for (int c = 0; c < C; ++c) {
      const Pair values = load_pair(x + c * x_stride + k);
      UNROLL
      for (int r = 0; r < R; ++r) sums[0][c][r] += rows[r].a * values.a;
      UNROLL
      for (int r = 0; r < R; ++r) sums[CHAINS - 1][c][r] += rows[r].b * values.b;
    }
  }
  for (; k < columns; k += WIDTH) UNROLL
  for (int c = 0; c < C; ++c) UNROLL
  for (int r = 0; r < R; ++r)
    sums[0][c][r] += load_weights(w[r] + k) * load<Floats>(x + c * x_stride + k);
  UNROLL
  for (int c = 0; c < C; ++c) {
    if constexpr (CHAINS == 2) UNROLL
    for (int r = 0; r < R; ++r) sums[0][c][r] += sums[1][c][r];
    store_row_sums<R>(sums[0][c], bias, y + c * stride);
  }
}

// C vectors at a time, then the rest by halves.
template <class Element, int R, int C>
inline void multiply_block_by_all(const Element* const* w, int64_t v, const Vectors& vectors,
                                  int64_t columns, const float* bias, float* y, int64_t stride) {
  for (; v + C <= vectors.count; v += C)
    multiply_block<Element, R, C>(w, vectors.values + v * vectors.stride, vectors.stride, columns,
                                  bias, y + v * stride, stride);
  if constexpr (C > 1)
    multiply_block_by_all<Element, R, C / 2>(w, v, vectors, columns, bias, y, stride);
}

#if defined(WITH_AVX512) || defined(WITH_NEON)
constexpr int VECTORS_AT_ONCE = 4;
#else
constexpr int VECTORS_AT_ONCE = 2;  // sixteen registers
#endif
constexpr int ROWS_AT_ONCE = 4;

template <class Element>
void matvec(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors, const float* bias,
            float* y, int64_t stride, float* scratch) {
  constexpr bool is_float = sizeof(Element) == sizeof(float);
  const bool one_vector = vectors.count == 1;
  const int64_t padded_columns = padded(m.columns, 2 * WIDTH);
  Element* copies = reinterpret_cast<Element*>(scratch);
  Vectors deinterleaved = vectors;
  if (!is_float) {
    float* to = scratch + ROWS_AT_ONCE * padded_columns;
    for (int64_t v = 0; v < vectors.count; ++v)
      deinterleave(vectors.values + v * vectors.stride, m.columns, to + v * padded_columns);
    deinterleaved.values = to;
    deinterleaved.stride = padded_columns;
  }
  const auto multiply_rows = [&](auto count, int64_t row) {
    constexpr int R = decltype(count)::value;
    const Element* w[R];
    for (int r = 0; r < R; ++r)
      w[r] = row_or_copy(m, row + r, padded_columns, copies + r * padded_columns);
    const float* b = bias ? bias + row : nullptr;
    float* to = y + row - first;
    if (!one_vector)
      return multiply_block_by_all<Element, R, VECTORS_AT_ONCE>(w, 0, deinterleaved, m.columns, b,
                                                                to, stride);
    Floats sums[4] = {};
    UNROLL
    for (int r = 0; r < R; ++r) sums[r] = dot_product(w[r], deinterleaved.values, m.columns);
    store_row_sums<R>(sums, b, to);
  };
  int64_t row = first;
  for (; row + ROWS_AT_ONCE <= last; row += ROWS_AT_ONCE)
    multiply_rows(Constant<ROWS_AT_ONCE>{}, row);
  for (; row < last; ++row) multiply_rows(Constant<1>{}, row);
}

}  // namespace
}  // namespace carousel
