// Float32 and bfloat16 matrices by many vectors (matmul).
//
// A vector a lane: one value of a row is multiplied by those of all lanes, so that nothing is
// summed across a register.
#pragma once

#include "matvec.h"

namespace carousel {
namespace {

constexpr int PANEL_ROWS = TILE_ROWS;
#if defined(WITH_AVX512) || defined(WITH_NEON)
constexpr int SUMS_IN_REGISTERS = 16;
#else
constexpr int SUMS_IN_REGISTERS = 8;  // sixteen registers
#endif
constexpr int SQUARE = WIDTH * WIDTH;

// Rows become columns.
inline void transpose(Floats (&v)[WIDTH]) {
#if defined(WITH_AVX512)
  __m512 pairs[16], fours[16];
  UNROLL
  for (int n = 0; n < 16; n += 2) {
    pairs[n] = _mm512_unpacklo_ps((__m512)v[n], (__m512)v[n + 1]);
    pairs[n + 1] = _mm512_unpackhi_ps((__m512)v[n], (__m512)v[n + 1]);
  }
  UNROLL
  for (int n = 0; n < 16; n += 4) {
    UNROLL
    for (int half = 0; half < 2; ++half) {
      const __m512d a = _mm512_castps_pd(pairs[n + half]),
                    b = _mm512_castps_pd(pairs[n + half + 2]);
      fours[n + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      fours[n + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  }
  // Of each group of four, vector n holds columns n, n + 4, n + 8 and n + 12.
  UNROLL
  for (int n = 0; n < 4; ++n) {
    const __m512 a = _mm512_shuffle_f32x4(fours[n], fours[n + 4], 0x44);
    const __m512 b = _mm512_shuffle_f32x4(fours[n], fours[n + 4], 0xee);
    const __m512 c = _mm512_shuffle_f32x4(fours[n + 8], fours[n + 12], 0x44);
    const __m512 d = _mm512_shuffle_f32x4(fours[n + 8], fours[n + 12], 0xee);
    v[n] = (Floats)_mm512_shuffle_f32x4(a, c, 0x88);
    v[n + 4] = (Floats)_mm512_shuffle_f32x4(a, c, 0xdd);
    v[n + 8] = (Floats)_mm512_shuffle_f32x4(b, d, 0x88);
    v[n + 12] = (Floats)_mm512_shuffle_f32x4(b, d, 0xdd);
  }
#else
  float square[WIDTH][WIDTH];
  for (int n = 0; n < WIDTH; ++n) store(square[n], v[n]);
  for (int n = 0; n < WIDTH; ++n)
    for (int k = 0; k < WIDTH; ++k) v[n][k] = square[k][n];
#endif
}

// WIDTH vectors side by side, [columns, WIDTH], with zeros for those that are missing.
inline void pack_vectors(const Vectors& vectors, int64_t v, int64_t columns, float* to) {
  for (int64_t k = 0; k < columns; k += WIDTH, to += SQUARE) {
    Floats square[WIDTH];
    for (int n = 0; n < WIDTH; ++n)
      square[n] = v + n < vectors.count
                      ? load<Floats>(vectors.values + (v + n) * vectors.stride + k)
                      : broadcast(0);
    transpose(square);
    for (int n = 0; n < WIDTH; ++n) store(to + n * WIDTH, square[n]);
  }
}

// Columns k to `end` of PANEL_ROWS rows in float32, [columns / WIDTH, PANEL_ROWS, WIDTH], with
// zeros for what is missing: there each row is at a fixed distance from the first.
template <class Element>
inline void pack_rows(const Matrix& m, int64_t row, int64_t count, int64_t k, int64_t end,
                      float* to) {
  for (int64_t r = 0; r < PANEL_ROWS; ++r) {
    const Element* w = static_cast<const Element*>(m.data) + (row + r) * m.columns;
    const int64_t left = r < count ? m.columns : 0;
    float* destination = to + r * WIDTH;
    for (int64_t column = k; column < end; column += WIDTH, destination += PANEL_ROWS * WIDTH) {
      if (column + WIDTH <= left) {
        store(destination, load_weights(w + column));
        continue;
      }
      Element rest[WIDTH] = {};
      if (column < left) std::memcpy(rest, w + column, (left - column) * sizeof *w);
      store(destination, load_weights(rest));
    }
  }
}

// Adds PANEL_ROWS rows times G groups of WIDTH vectors, some rows at a time with all their sums in
// registers. Meanwhile the rows that come next are fetched, `step` bytes at a time.
template <int G>
inline void multiply_panel(const float* rows, const float* x, int64_t x_stride, int64_t columns,
                           const char* next, int64_t step, Floats (*to)[PANEL_ROWS]) {
  constexpr int AT_ONCE = SUMS_IN_REGISTERS / G;
  for (int first = 0; first < PANEL_ROWS; first += AT_ONCE, step = 0) {
    Floats sums[G][AT_ONCE];
    UNROLL
    for (int g = 0; g < G; ++g) UNROLL
    for (int r = 0; r < AT_ONCE; ++r) sums[g][r] = to[g][first + r];
    const float *w = rows + first * WIDTH, *from = x;
    for (int64_t k = 0; k < columns; k += WIDTH, w += PANEL_ROWS * WIDTH) {
      for (int j = 0; j < WIDTH; ++j, from += WIDTH, next += step) {
        __builtin_prefetch(next, 0, 2);
        Floats values[G];
        UNROLL
        for (int g = 0; g < G; ++g) values[g] = load<Floats>(from + g * x_stride);
        UNROLL
        for (int r = 0; r < AT_ONCE; ++r) {
          const float weight = w[r * WIDTH + j];
          UNROLL
          for (int g = 0; g < G; ++g) sums[g][r] += values[g] * weight;
        }
      }
    }
    UNROLL
    for (int g = 0; g < G; ++g) UNROLL
    for (int r = 0; r < AT_ONCE; ++r) to[g][first + r] = sums[g][r];
  }
}

// PANEL_ROWS sums of WIDTH vectors, of which the first `count` are wanted.
inline void store_transposed(const Floats* sums, const float* bias, float* y, int64_t stride,
                             int64_t count) {
  for (int r = 0; r < PANEL_ROWS; r += WIDTH) {
    Floats square[WIDTH];
    UNROLL
    for (int n = 0; n < WIDTH; ++n) square[n] = sums[r + n];
    transpose(square);
    const Floats b = bias ? load<Floats>(bias + r) : broadcast(0);
    for (int64_t n = 0; n < WIDTH && n < count; ++n) store(y + n * stride + r, square[n] + b);
  }
}

template <class Element>
void matmul(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors, const float* bias,
            float* y, int64_t stride, float* scratch) {
  const int64_t columns = padded(m.columns);
  float *rows = scratch, *x = scratch + PANEL_ROWS * BLOCK_COLUMNS;
  for (int64_t v = 0; v < vectors.count; v += WIDTH)
    pack_vectors(vectors, v, columns, x + v * columns);
  for (int64_t row = first; row < last; row += PANEL_ROWS) {
    const int64_t left = last - row < PANEL_ROWS ? last - row : PANEL_ROWS;
    Floats sums[MAX_VECTORS / WIDTH][PANEL_ROWS] = {};
    for (int64_t k = 0; k < columns; k += BLOCK_COLUMNS) {
      const int64_t end = k + BLOCK_COLUMNS < columns ? k + BLOCK_COLUMNS : columns;
      pack_rows<Element>(m, row, left, k, end, rows);
      // The next rows are as many times PANEL_ROWS elements as there are columns.
      constexpr int64_t step = PANEL_ROWS * sizeof(Element);
      const char* next = static_cast<const char*>(m.data) +
                         ((row + PANEL_ROWS) * m.columns + k * PANEL_ROWS) * sizeof(Element);
      for (int64_t v = 0; v < vectors.count; v += 2 * WIDTH) {
        const float* from = x + v * columns + k * WIDTH;
        const auto multiply_groups =
            vectors.count - v > WIDTH ? multiply_panel<2> : multiply_panel<1>;
        multiply_groups(rows, from, WIDTH * columns, end - k, next, v ? 0 : step, sums + v / WIDTH);
      }
    }
    for (int64_t v = 0; v < vectors.count; v += WIDTH)
      store_transposed(sums[v / WIDTH], bias ? bias + row : nullptr, y + v * stride + row - first,
                       stride, vectors.count - v);
  }
}

}  // namespace
}  // namespace carousel
