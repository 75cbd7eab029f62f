// Int8 matrices by many vectors, where the processor has a matrix unit (AMX).
#pragma once

#include "int8.h"

namespace carousel {
namespace {

// Its registers hold 16 rows of 64 bytes. One gets 16 rows of the matrix by 64 columns as they lie,
// another 64 values of each of 16 vectors, and a third their 16 by 16 sums.
constexpr int GROUPS = MANY / TILE;  // of vectors, whose sums are in registers 0 to 3
constexpr int ROWS = 4, FULL = 5, LAST = 6;  // and what is in the others
static_assert(GROUPS == 4, "a register for each group's sums");
constexpr int64_t STEPS = 16;  // tiles of 4 columns that are multiplied at a time
constexpr int64_t STEP_BYTES = STEPS * TILE * DEPTH;

struct Shapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};  // of a row, by register
  uint8_t rows[16] = {};
};

// The compiler's own words for these don't say that they touch memory, or want numbers spelled out.
template <int tile>
inline void load_tile(const int8_t* from, int64_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(tile) : "memory");
}
template <int tile>
inline void save_tile(int32_t (*to)[TILE]) {
  const int64_t stride = sizeof *to;
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(tile) : "memory");
}
template <int tile>
inline void clear_tile() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(tile));
}
template <int sums, int x, int rows>
inline void multiply_tiles() {
  __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(x), "i"(rows));
}

// Adds one group's products; the last group may have fewer vectors than 16.
template <int group>
inline void multiply(int groups, const int8_t* x, int64_t stride) {
  if (group >= groups) return;
  if (group == groups - 1) {
    load_tile<LAST>(x + group * TILE * stride, stride);
    multiply_tiles<group, LAST, ROWS>();
  } else {
    load_tile<FULL>(x + group * TILE * stride, stride);
    multiply_tiles<group, FULL, ROWS>();
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
  for (int r = 0; r <= LAST; ++r) {
    shapes.bytes[r] = 64;
    shapes.rows[r] = 16;
  }
  shapes.rows[groups - 1] = shapes.rows[LAST] =
      static_cast<uint8_t>(vectors.count - (groups - 1) * TILE);
  __asm__ volatile("ldtilecfg %0" : : "m"(shapes));  // which clears the registers
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
  __asm__ volatile("tilerelease");
}

}  // namespace
}  // namespace carousel
