// Int8 and bfloat16 matrices by many vectors, where the processor has a matrix unit (AMX).
#pragma once

#include "int8.h"
#include "matmul.h"

namespace carousel {
namespace {

// Each of its eight registers holds 16 rows of 64 bytes, or fewer.
struct TileConfig {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};  // of a row, by register
  uint8_t rows[16] = {};

  TileConfig() {
    for (int r = 0; r < 8; ++r) {
      bytes[r] = 64;
      rows[r] = 16;
    }
  }
  // Which clears the registers, too.
  void load() const { __asm__ volatile("ldtilecfg %0" : : "m"(*this)); }
};

inline void tile_release() { __asm__ volatile("tilerelease"); }

// The compiler's intrinsics for these don't say that they touch memory, or want numbers spelled
// out.
template <int tile>
inline void tile_load(const void* from, int64_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2"
                   :
                   : "r"(from), "r"(stride), "i"(tile)
                   : "memory");
}
template <int tile>
inline void tile_store(void* to) {
  const int64_t stride = 64;
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(tile) : "memory");
}
template <int tile>
inline void tile_zero() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(tile));
}
template <int sums, int a, int b>
inline void tile_multiply_int8() {
  __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(a), "i"(b));
}
template <int sums, int a, int b>
inline void tile_multiply_bfloat16() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(a), "i"(b));
}

// -- int8 -----------------------------------------------------------------------------------------

// One register gets 16 rows of the matrix by 64 columns as they lie, another 64 values of each of
// 16 vectors, and a third their 16 by 16 sums.
constexpr int GROUPS = MAX_VECTORS / TILE_ROWS;  // of vectors, whose sums are in registers 0 to 3
constexpr int ROWS_TILE = 4, VECTORS_TILE = 5, LAST_VECTORS_TILE = 6;  // and what is in the others
static_assert(GROUPS == 4, "a register for each group's sums");
constexpr int64_t STEPS = 16;  // tiles of 4 columns that are multiplied at a time
constexpr int64_t STEP_BYTES = STEPS * TILE_SIZE;

// Adds one group's products; the last group may have fewer vectors than 16.
template <int group>
inline void add_group(int groups, const int8_t* x, int64_t stride) {
  if (group >= groups) return;
  if (group == groups - 1) {
    tile_load<LAST_VECTORS_TILE>(x + group * TILE_ROWS * stride, stride);
    tile_multiply_int8<group, LAST_VECTORS_TILE, ROWS_TILE>();
  } else {
    tile_load<VECTORS_TILE>(x + group * TILE_ROWS * stride, stride);
    tile_multiply_int8<group, VECTORS_TILE, ROWS_TILE>();
  }
}

template <int group>
inline void store_and_clear(int groups, int32_t (*to)[TILE_ROWS]) {
  if (group >= groups) return;
  tile_store<group>(to + group * TILE_ROWS);
  tile_zero<group>();
}

// Contract: as `multiply` in kernels.h, for int8 and more than MAX_MATVEC_VECTORS vectors.
void multiply_int8_amx(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
                       const float* bias, float* y, int64_t stride) {
  const int64_t depth = padded(m.columns, TILE_COLUMNS) / TILE_COLUMNS,
                whole_steps = depth / STEPS * STEPS;
  const int groups = static_cast<int>(padded(vectors.count) / TILE_ROWS);
  TileConfig config;
  config.rows[groups - 1] = config.rows[LAST_VECTORS_TILE] =
      static_cast<uint8_t>(vectors.count - (groups - 1) * TILE_ROWS);
  config.load();
  for (int64_t row = first; row < last; row += TILE_ROWS) {
    const int8_t* w = static_cast<const int8_t*>(m.data) + row * depth * TILE_COLUMNS;
    const auto add_step = [&](const int8_t* rows, int64_t k) {
      const int8_t* x = vectors.quantized + k * TILE_COLUMNS;
      tile_load<ROWS_TILE>(rows, TILE_SIZE);
      add_group<0>(groups, x, vectors.stride);
      add_group<1>(groups, x, vectors.stride);
      add_group<2>(groups, x, vectors.stride);
      add_group<3>(groups, x, vectors.stride);
    };
    for (int64_t k = 0; k < whole_steps; k += STEPS) add_step(w + k * TILE_SIZE, k);
    if (whole_steps <
        depth) {  // the rest, and zeros, which multiply whatever is behind the vectors
      int8_t rest[STEP_BYTES] = {};
      std::memcpy(rest, w + whole_steps * TILE_SIZE, (depth - whole_steps) * TILE_SIZE);
      add_step(rest, whole_steps);
    }
    int32_t sums[MAX_VECTORS][TILE_ROWS];
    store_and_clear<0>(groups, sums);
    store_and_clear<1>(groups, sums);
    store_and_clear<2>(groups, sums);
    store_and_clear<3>(groups, sums);
    for (int64_t v = 0; v < vectors.count; ++v)
      store_dequantized(sums[v], 0, m.scale + row, vectors, v, bias ? bias + row : nullptr,
                        y + v * stride + row - first);
  }
  tile_release();
}

// -- bfloat16 -------------------------------------------------------------------------------------

// A float32 is exactly the sum of three bfloat16, its first 8 bits of precision, the next 8 and the
// last 8, so that vectors are not rounded: each weight is multiplied by all three.
constexpr int SPLITS = 3;
constexpr int64_t COLUMNS_PER_TILE = 32;  // columns of a bfloat16 row that a register holds

// 16 vectors as [columns / 32, SPLITS, 16, 16] pairs of bfloat16, of which one register holds those
// of 32 columns and 16 vectors; zeros for what is missing.
inline void split_vectors(const Vectors& vectors, int64_t v, int64_t columns, float* to) {
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  for (int64_t k = 0; k < columns; k += COLUMNS_PER_TILE) {
    Floats pairs[SPLITS][TILE_ROWS] = {};
    for (int n = 0; n < TILE_ROWS && v + n < vectors.count; ++n) {
      const float* x = vectors.values + (v + n) * vectors.stride + k;
      const __m512 a = (__m512)load<Floats>(x);
      const __m512 b = (__m512)(k + WIDTH < columns ? load<Floats>(x + WIDTH) : broadcast(0));
      Floats low = (Floats)_mm512_permutex2var_ps(a, even, b);
      Floats high = (Floats)_mm512_permutex2var_ps(a, odd, b);
      for (int p = 0; p < SPLITS; ++p) {
        const Bits first = (Bits)low & 0xffff0000u, second = (Bits)high & 0xffff0000u;
        pairs[p][n] = (Floats)(first >> 16 | second);
        low -= (Floats)first;
        high -= (Floats)second;
      }
    }
    for (int p = 0; p < SPLITS; ++p) {
      transpose(pairs[p]);
      for (int n = 0; n < TILE_ROWS; ++n, to += WIDTH) store(to, pairs[p][n]);
    }
  }
}

// 16 rows, of which `padded_columns` may be read: as they lie, or at the matrix's end a copy.
inline const uint16_t* tile_rows_or_copy(const Matrix& m, int64_t row, int64_t padded_columns,
                                         uint16_t* copy, int64_t* stride) {
  const uint16_t* from = static_cast<const uint16_t*>(m.data) + row * m.columns;
  const int64_t left = (m.rows - row) * m.columns;
  *stride = m.columns;
  if ((TILE_ROWS - 1) * m.columns + padded_columns <= left) return from;
  *stride = padded_columns;
  std::memset(copy, 0, TILE_ROWS * padded_columns * sizeof *copy);
  for (int64_t r = 0; r < TILE_ROWS && row + r < m.rows; ++r)
    std::memcpy(copy + r * padded_columns, from + r * m.columns, m.columns * sizeof *copy);
  return copy;
}

// 32 rows by G groups of 16 vectors: sums in registers 0 to 3, rows in 4 and 5, vectors in 6 and 7.
template <int G>
inline void multiply_bfloat16_tiles(const uint16_t* const (&rows)[2], const int64_t (&strides)[2],
                                    const float* x, int64_t blocks, Floats (*sums)[TILE_ROWS]) {
  constexpr int TILE_FLOATS = TILE_ROWS * WIDTH;
  const int64_t group = blocks * SPLITS * TILE_FLOATS;
  tile_zero<0>(), tile_zero<1>(), tile_zero<2>(), tile_zero<3>();
  for (int64_t k = 0; k < blocks; ++k) {
    tile_load<4>(rows[0] + k * COLUMNS_PER_TILE, strides[0] * sizeof(uint16_t));
    tile_load<5>(rows[1] + k * COLUMNS_PER_TILE, strides[1] * sizeof(uint16_t));
    for (int p = 0; p < SPLITS; ++p, x += TILE_FLOATS) {
      tile_load<6>(x, 64);
      tile_multiply_bfloat16<0, 4, 6>();
      tile_multiply_bfloat16<1, 5, 6>();
      if constexpr (G == 2) {
        tile_load<7>(x + group, 64);
        tile_multiply_bfloat16<2, 4, 7>();
        tile_multiply_bfloat16<3, 5, 7>();
      }
    }
  }
  tile_store<0>(sums[0]), tile_store<1>(sums[1]);
  if constexpr (G == 2) tile_store<2>(sums[2]), tile_store<3>(sums[3]);
}

void multiply_bfloat16_amx(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
                           const float* bias, float* y, int64_t stride, float* scratch) {
  const int64_t padded_columns = padded(m.columns, COLUMNS_PER_TILE),
                blocks = padded_columns / COLUMNS_PER_TILE;
  const int64_t group = SPLITS * padded_columns / 2 * TILE_ROWS;  // floats
  float* x = scratch;
  for (int64_t v = 0; v < vectors.count; v += TILE_ROWS)
    split_vectors(vectors, v, m.columns, x + v / TILE_ROWS * group);
  uint16_t* copies = reinterpret_cast<uint16_t*>(scratch + GROUPS * group);
  TileConfig().load();
  for (int64_t row = first; row < last; row += 2 * TILE_ROWS) {
    const bool two = row + TILE_ROWS < last;
    int64_t strides[2];
    const uint16_t* rows[2];
    rows[0] = tile_rows_or_copy(m, row, padded_columns, copies, strides);
    rows[1] = two ? tile_rows_or_copy(m, row + TILE_ROWS, padded_columns,
                                      copies + TILE_ROWS * padded_columns, strides + 1)
                  : rows[0];
    if (!two) strides[1] = strides[0];
    for (int64_t v = 0; v < vectors.count; v += 2 * TILE_ROWS) {
      Floats sums[4][TILE_ROWS];
      const bool both = v + TILE_ROWS < vectors.count;
      (both ? multiply_bfloat16_tiles<2>
            : multiply_bfloat16_tiles<1>)(rows, strides, x + v / TILE_ROWS * group, blocks, sums);
      for (int n = 0; n < (both ? 4 : 2); ++n) {
        const int64_t row_of_sums = row + n % 2 * TILE_ROWS, from = v + n / 2 * TILE_ROWS;
        if (row_of_sums < last)
          store_transposed(sums[n], bias ? bias + row_of_sums : nullptr,
                           y + from * stride + row_of_sums - first, stride, vectors.count - from);
      }
    }
  }
  tile_release();
}

}  // namespace
}  // namespace carousel
