// Float32 and bfloat16 matrices by a few vectors: row by row, as they lie.
#pragma once

#include "simd.h"

namespace carousel {
namespace {

inline Floats weights(const float* w) { return load<Floats>(w); }

// A bfloat16 is the upper half of a float32.
inline Floats weights(const uint16_t* w) {
  return (Floats)(__builtin_convertvector(load<Halves>(w), Bits) << 16);
}

struct Pair {
  Floats a, b;
};

inline Pair pair(const float* w) { return {load<Floats>(w), load<Floats>(w + WIDTH)}; }

// A bfloat16 is the upper half of a float32, so that two vectors lie in one: first those at even
// places, then those at odd ones.
inline Pair pair(const uint16_t* w) {
  const Bits both = load<Bits>(w);
  return {(Floats)(both << 16), (Floats)(both & 0xffff0000u)};
}

// Vectors for rows of bfloat16: each 2 * WIDTH values as `pair` has them, and zeros to the end.
inline void part(const float* x, int64_t columns, float* to) {
  for (int64_t k = 0; k < columns; k += 2 * WIDTH, to += 2 * WIDTH) {
    float both[2 * WIDTH] = {};
    const int64_t there = columns - k < 2 * WIDTH ? columns - k : 2 * WIDTH;
    std::memcpy(both, x + k, there * sizeof *x);
    for (int n = 0; n < WIDTH; ++n) {
      to[n] = both[2 * n];
      to[n + WIDTH] = both[2 * n + 1];
    }
  }
}

// A row may be read up to the next multiple of what is read at a time: what stands there is finite,
// and is multiplied by the zeros that pad the vector. Only the matrix's own end needs a copy.
template <class Element>
inline const Element* row_of(const Matrix& m, int64_t row, int64_t wide, Element* copy) {
  const Element* w = static_cast<const Element*>(m.data) + row * m.columns;
  const int64_t there = (m.rows - row) * m.columns;
  if (there >= wide) return w;
  std::memcpy(copy, w, there * sizeof *w);
  std::memset(copy + there, 0, (wide - there) * sizeof *w);
  return copy;
}

template <int R>
inline void finish_rows(const Floats (&sums)[4], const float* bias, float* y) {
  float found[4];
  sum_four(sums, found);
  UNROLL for (int r = 0; r < R; ++r) y[r] = found[r] + (bias ? bias[r] : 0.0f);
}

// One long row by one vector, read straight on with four sums in flight: memory is read fastest so.
template <class Element>
inline Floats one_row(const Element* w, const float* x, int64_t columns) {
  constexpr bool is_float = sizeof(Element) == sizeof(float);
  Floats a = splat(0), b = a, c = a, d = a;
  int64_t k = 0;
  for (; k + 4 * WIDTH <= columns; k += 4 * WIDTH) {
    fetch_ahead<4 * WIDTH * sizeof(Element)>(w + k);
    const Pair one = pair(w + k), other = pair(w + k + 2 * WIDTH);
    a += one.a * load<Floats>(x + k);
    b += one.b * load<Floats>(x + k + WIDTH);
    c += other.a * load<Floats>(x + k + 2 * WIDTH);
    d += other.b * load<Floats>(x + k + 3 * WIDTH);
  }
  if constexpr (is_float) {
    for (; k < columns; k += WIDTH) a += weights(w + k) * load<Floats>(x + k);
  } else {
    for (; k < columns; k += 2 * WIDTH) {
      const Pair rest = pair(w + k);
      a += rest.a * load<Floats>(x + k);
      b += rest.b * load<Floats>(x + k + WIDTH);
    }
  }
  return (a + b) + (c + d);
}

// R rows by C vectors, all their sums in registers, each value loaded once for all. Of one vector
// there are two sums a row, since one alone would wait for itself.
template <class Element, int R, int C>
inline void block(const Element* const* w, const float* x, int64_t x_stride, int64_t columns,
                  const float* bias, float* y, int64_t stride) {
  constexpr bool is_float = sizeof(Element) == sizeof(float);
  constexpr int CHAINS = C == 1 ? 2 : 1;
  Floats sums[CHAINS][C][4] = {};
  int64_t k = 0;
  for (; k + (is_float ? WIDTH : 0) < columns; k += 2 * WIDTH) {
    Pair rows[R];
    UNROLL for (int r = 0; r < R; ++r) rows[r] = pair(w[r] + k);
    UNROLL for (int c = 0; c < C; ++c) {
      const Pair values = pair(x + c * x_stride + k);
      UNROLL for (int r = 0; r < R; ++r) sums[0][c][r] += rows[r].a * values.a;
      UNROLL for (int r = 0; r < R; ++r) sums[CHAINS - 1][c][r] += rows[r].b * values.b;
    }
  }
  for (; k < columns; k += WIDTH)
    UNROLL for (int c = 0; c < C; ++c)
      UNROLL for (int r = 0; r < R; ++r)
        sums[0][c][r] += weights(w[r] + k) * load<Floats>(x + c * x_stride + k);
  UNROLL for (int c = 0; c < C; ++c) {
    if constexpr (CHAINS == 2)
      UNROLL for (int r = 0; r < R; ++r) sums[0][c][r] += sums[1][c][r];
    finish_rows<R>(sums[0][c], bias, y + c * stride);
  }
}

// C vectors at a time, then the rest by halves.
template <class Element, int R, int C>
inline void block_rows(const Element* const* w, int64_t v, const Vectors& vectors, int64_t columns,
                       const float* bias, float* y, int64_t stride) {
  for (; v + C <= vectors.count; v += C)
    block<Element, R, C>(w, vectors.values + v * vectors.stride, vectors.stride, columns, bias,
                         y + v * stride, stride);
  if constexpr (C > 1) block_rows<Element, R, C / 2>(w, v, vectors, columns, bias, y, stride);
}

#if defined(WITH_AVX512) || defined(WITH_NEON)
constexpr int BLOCK_VECTORS = 4;
#else
constexpr int BLOCK_VECTORS = 2;  // sixteen registers
#endif
constexpr int BLOCK = 4;

template <class Element>
void product_rows(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
                  const float* bias, float* y, int64_t stride, float* space) {
  constexpr bool is_float = sizeof(Element) == sizeof(float);
  const bool straight = vectors.count == 1;
  const int64_t wide = padded(m.columns, 2 * WIDTH);
  Element* copies = reinterpret_cast<Element*>(space);
  Vectors parted = vectors;
  if (!is_float) {
    float* to = space + BLOCK * wide;
    for (int64_t v = 0; v < vectors.count; ++v)
      part(vectors.values + v * vectors.stride, m.columns, to + v * wide);
    parted.values = to;
    parted.stride = wide;
  }
  const auto rows = [&](auto number, int64_t row) {
    constexpr int R = decltype(number)::value;
    const Element* w[R];
    for (int r = 0; r < R; ++r) w[r] = row_of(m, row + r, wide, copies + r * wide);
    const float* b = bias ? bias + row : nullptr;
    float* to = y + row - first;
    if (!straight)
      return block_rows<Element, R, BLOCK_VECTORS>(w, 0, parted, m.columns, b, to, stride);
    Floats sums[4] = {};
    UNROLL for (int r = 0; r < R; ++r) sums[r] = one_row(w[r], parted.values, m.columns);
    finish_rows<R>(sums, b, to);
  };
  int64_t row = first;
  for (; row + BLOCK <= last; row += BLOCK) rows(Number<BLOCK>{}, row);
  for (; row < last; ++row) rows(Number<1>{}, row);
}

}  // namespace
}  // namespace carousel
