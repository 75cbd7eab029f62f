// Int8 and bfloat16 matrices by many vectors, where the processor has a matrix unit (AMX).
#pragma once

#include "int8.h"
#include "lanes.h"

namespace carousel {
namespace {

// Each of its eight registers holds 16 rows of 64 bytes, or fewer.
struct Shapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};  // of a row, by register
  uint8_t rows[16] = {};

  Shapes() {
    for (int r = 0; r < 8; ++r) {
      bytes[r] = 64;
      rows[r] = 16;
    }
  }
  // Which clears the registers, too.
  void use() const { __asm__ volatile("ldtilecfg %0" : : "m"(*this)); }
};

inline void release_tiles() { __asm__ volatile("tilerelease"); }

// The compiler's own words for these don't say that they touch memory, or want numbers spelled out.
template <int tile>
inline void load_tile(const void* from, int64_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(tile) : "memory");
}
template <int tile>
inline void save_tile(void* to) {
  const int64_t stride = 64;
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(tile) : "memory");
}
template <int tile>
inline void clear_tile() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(tile));
}
template <int sums, int a, int b>
inline void multiply_int8() {
  __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(a), "i"(b));
}
template <int sums, int a, int b>
inline void multiply_bfloat16() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(a), "i"(b));
}

// -- int8 -----------------------------------------------------------------------------------------

// One register gets 16 rows of the matrix by 64 columns as they lie, another 64 values of each of 16
// vectors, and a third their 16 by 16 sums.
constexpr int GROUPS = MANY / TILE;  // of vectors, whose sums are in registers 0 to 3
constexpr int ROWS = 4, FULL = 5, LAST = 6;  // and what is in the others
static_assert(GROUPS == 4, "a register for each group's sums");
constexpr int64_t STEPS = 16;  // tiles of 4 columns that are multiplied at a time
constexpr int64_t STEP_BYTES = STEPS * TILE * DEPTH;

// Adds one group's products; the last group may have fewer vectors than 16.
template <int group>
inline void multiply(int groups, const int8_t* x, int64_t stride) {
  if (group >= groups) return;
  if (group == groups - 1) {
    load_tile<LAST>(x + group * TILE * stride, stride);
    multiply_int8<group, LAST, ROWS>();
  } else {
    load_tile<FULL>(x + group * TILE * stride, stride);
    multiply_int8<group, FULL, ROWS>();
  }
}

template <int group>
inline void take(int groups, int32_t (*to)[TILE]) {
  if (group >= groups) return;
  save_tile<group>(to + group * TILE);
  clear_tile<group>();
}

void product_tiles(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
                   const float* bias, float* y, int64_t stride) {
  const int64_t depth = padded(m.columns, DEPTH) / DEPTH, whole = depth / STEPS * STEPS;
  const int groups = static_cast<int>(padded(vectors.count) / TILE);
  Shapes shapes;
  shapes.rows[groups - 1] = shapes.rows[LAST] =
      static_cast<uint8_t>(vectors.count - (groups - 1) * TILE);
  shapes.use();
  for (int64_t row = first; row < last; row += TILE) {
    const int8_t* w = static_cast<const int8_t*>(m.data) + row * depth * DEPTH;
    const auto step = [&](const int8_t* rows, int64_t k) {
      const int8_t* x = vectors.bytes + k * DEPTH;
      load_tile<ROWS>(rows, TILE * DEPTH);
      multiply<0>(groups, x, vectors.stride);
      multiply<1>(groups, x, vectors.stride);
      multiply<2>(groups, x, vectors.stride);
      multiply<3>(groups, x, vectors.stride);
    };
    for (int64_t k = 0; k < whole; k += STEPS) step(w + k * TILE * DEPTH, k);
    if (whole < depth) {  // the rest, and zeros, which multiply whatever is behind the vectors
      int8_t rest[STEP_BYTES] = {};
      std::memcpy(rest, w + whole * TILE * DEPTH, (depth - whole) * TILE * DEPTH);
      step(rest, whole);
    }
    int32_t sums[MANY][TILE];
    take<0>(groups, sums);
    take<1>(groups, sums);
    take<2>(groups, sums);
    take<3>(groups, sums);
    for (int64_t v = 0; v < vectors.count; ++v)
      finish(sums[v], 0, m.scale + row, vectors, v, bias ? bias + row : nullptr,
             y + v * stride + row - first);
  }
  release_tiles();
}

// -- bfloat16 -------------------------------------------------------------------------------------

// A float32 is exactly the sum of three bfloat16, its first 8 bits of precision, the next 8 and the
// last 8, so that vectors are not rounded: each weight is multiplied by all three.
constexpr int PARTS = 3;
constexpr int64_t ACROSS = 32;  // columns of a bfloat16 row that a register holds

// 16 vectors as [columns / 32, PARTS, 16, 16] pairs of bfloat16, of which one register holds those of
// 32 columns and 16 vectors; zeros for what is missing.
inline void make_parts(const Vectors& vectors, int64_t v, int64_t columns, float* to) {
  const __m512i even =
      _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  for (int64_t k = 0; k < columns; k += ACROSS) {
    Floats pairs[PARTS][TILE] = {};
    for (int n = 0; n < TILE && v + n < vectors.count; ++n) {
      const float* x = vectors.values + (v + n) * vectors.stride + k;
      const __m512 a = (__m512)load<Floats>(x);
      const __m512 b = (__m512)(k + WIDTH < columns ? load<Floats>(x + WIDTH) : splat(0));
      Floats low = (Floats)_mm512_permutex2var_ps(a, even, b);
      Floats high = (Floats)_mm512_permutex2var_ps(a, odd, b);
      for (int p = 0; p < PARTS; ++p) {
        const Bits first = (Bits)low & 0xffff0000u, second = (Bits)high & 0xffff0000u;
        pairs[p][n] = (Floats)(first >> 16 | second);
        low -= (Floats)first;
        high -= (Floats)second;
      }
    }
    for (int p = 0; p < PARTS; ++p) {
      transpose(pairs[p]);
      for (int n = 0; n < TILE; ++n, to += WIDTH) save(to, pairs[p][n]);
    }
  }
}

// 16 rows, of which `wide` columns may be read: as they lie, or at the matrix's end a copy.
inline const uint16_t* rows_of_tile(const Matrix& m, int64_t row, int64_t wide, uint16_t* copy,
                                    int64_t* stride) {
  const uint16_t* from = static_cast<const uint16_t*>(m.data) + row * m.columns;
  const int64_t there = (m.rows - row) * m.columns;
  *stride = m.columns;
  if ((TILE - 1) * m.columns + wide <= there) return from;
  *stride = wide;
  std::memset(copy, 0, TILE * wide * sizeof *copy);
  for (int64_t r = 0; r < TILE && row + r < m.rows; ++r)
    std::memcpy(copy + r * wide, from + r * m.columns, m.columns * sizeof *copy);
  return copy;
}

// 32 rows by G groups of 16 vectors: sums in registers 0 to 3, rows in 4 and 5, vectors in 6 and 7.
template <int G>
inline void multiply_halves(const uint16_t* const (&rows)[2], const int64_t (&strides)[2],
                            const float* x, int64_t blocks, Floats (*sums)[TILE]) {
  constexpr int SIZE = TILE * WIDTH;
  const int64_t group = blocks * PARTS * SIZE;
  clear_tile<0>(), clear_tile<1>(), clear_tile<2>(), clear_tile<3>();
  for (int64_t k = 0; k < blocks; ++k) {
    load_tile<4>(rows[0] + k * ACROSS, strides[0] * sizeof(uint16_t));
    load_tile<5>(rows[1] + k * ACROSS, strides[1] * sizeof(uint16_t));
    for (int p = 0; p < PARTS; ++p, x += SIZE) {
      load_tile<6>(x, 64);
      multiply_bfloat16<0, 4, 6>();
      multiply_bfloat16<1, 5, 6>();
      if constexpr (G == 2) {
        load_tile<7>(x + group, 64);
        multiply_bfloat16<2, 4, 7>();
        multiply_bfloat16<3, 5, 7>();
      }
    }
  }
  save_tile<0>(sums[0]), save_tile<1>(sums[1]);
  if constexpr (G == 2) save_tile<2>(sums[2]), save_tile<3>(sums[3]);
}

void product_halves(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
                    const float* bias, float* y, int64_t stride, float* space) {
  const int64_t wide = padded(m.columns, ACROSS), blocks = wide / ACROSS;
  const int64_t group = PARTS * wide / 2 * TILE;  // floats
  float* x = space;
  for (int64_t v = 0; v < vectors.count; v += TILE)
    make_parts(vectors, v, m.columns, x + v / TILE * group);
  uint16_t* copies = reinterpret_cast<uint16_t*>(space + GROUPS * group);
  Shapes().use();
  for (int64_t row = first; row < last; row += 2 * TILE) {
    const bool two = row + TILE < last;
    int64_t strides[2];
    const uint16_t* rows[2];
    rows[0] = rows_of_tile(m, row, wide, copies, strides);
    rows[1] = two ? rows_of_tile(m, row + TILE, wide, copies + TILE * wide, strides + 1) : rows[0];
    if (!two) strides[1] = strides[0];
    for (int64_t v = 0; v < vectors.count; v += 2 * TILE) {
      Floats sums[4][TILE];
      const bool both = v + TILE < vectors.count;
      (both ? multiply_halves<2> : multiply_halves<1>)(rows, strides, x + v / TILE * group, blocks,
                                                       sums);
      for (int n = 0; n < (both ? 4 : 2); ++n) {
        const int64_t at = row + n % 2 * TILE, from = v + n / 2 * TILE;
        if (at < last)
          finish_lanes(sums[n], bias ? bias + at : nullptr, y + from * stride + at - first, stride,
                       vectors.count - from);
      }
    }
  }
  release_tiles();
}

}  // namespace
}  // namespace carousel
