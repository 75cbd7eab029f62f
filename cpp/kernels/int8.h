// Int8 matrices: vectors are rounded as they come, and products are of 16 rows by 4 columns at a
// time.
#pragma once

#include "simd.h"

namespace carousel {
namespace {

void quantize(const float* x, int64_t size, int8_t* quantized, float* scale, int32_t* sum) {
  Floats maxima = broadcast(0);
  for (int64_t k = 0; k < size; k += WIDTH) maxima = max(maxima, abs(load<Floats>(x + k)));
  const float largest = horizontal_max(maxima);
  const bool nonzero = largest > 1e-30f;  // below that the factor would overflow
  const float factor = nonzero ? 127.0f / largest : 0.0f;
  Ints sums = {};
  for (int64_t k = 0; k < size; k += WIDTH) {
    // The lowest byte of the sum's bits is the rounded value in two's complement.
    const Bits rounded = (Bits)(load<Floats>(x + k) * factor + ROUND);
    sums += (Ints)(rounded - ROUND_BITS);
    int32_t integers[WIDTH];
    std::memcpy(integers, &rounded, sizeof integers);
    for (int j = 0; j < WIDTH; ++j) quantized[k + j] = static_cast<int8_t>(integers[j]);
  }
  *sum = 0;
  for (int k = 0; k < WIDTH; ++k) *sum += sums[k];
  *scale = nonzero ? largest / 127.0f : 0.0f;
}

constexpr int64_t TILE_SIZE = TILE_ROWS * TILE_COLUMNS;

// -- the instructions
// ------------------------------------------------------------------------------

// Sums of 16 rows, and the signed dot products of a tile [16, 4] with 4 values. All are exact.

#if defined(WITH_VNNI)
// The instruction takes unsigned by signed bytes: weights go in as w + 128, which adds 128 times
// the sum of the vector to every row.
constexpr int32_t EXCESS = 128;
typedef __m512i Sums;
typedef __m512i Tile;
typedef __m512i Quad;
inline Sums zero() { return _mm512_setzero_si512(); }
inline Tile load_tile(const int8_t* w) {
  return _mm512_xor_si512(_mm512_loadu_si512(w), _mm512_set1_epi8(-128));
}
inline Quad load_quad(const int8_t* x) { return _mm512_set1_epi32(load<int32_t>(x)); }
inline Sums add_dot(Sums s, Tile w, Quad x) {
  // _mm512_dpbusd_epi32, which GCC surrounds with copies, and even with stores.
  __asm__("vpdpbusd %2, %1, %0" : "+v"(s) : "v"(w), "v"(x));
  return s;
}
inline Sums add(Sums a, Sums b) { return _mm512_add_epi32(a, b); }
inline void store(int32_t* to, Sums s) { _mm512_storeu_si512(to, s); }

#elif defined(WITH_AVX512)
// |w| is at most 128 and |x| at most 127, so that the sums of two products fit 16 bits.
constexpr int32_t EXCESS = 0;
typedef __m512i Sums;
typedef __m512i Tile;
typedef __m512i Quad;
inline Sums zero() { return _mm512_setzero_si512(); }
inline Tile load_tile(const int8_t* w) { return _mm512_loadu_si512(w); }
inline Quad load_quad(const int8_t* x) { return _mm512_set1_epi32(load<int32_t>(x)); }
inline Sums add_dot(Sums s, Tile w, Quad x) {
  const __m512i signed_x = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), zero(), x);
  const __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(w), signed_x);
  return _mm512_add_epi32(s, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}
inline Sums add(Sums a, Sums b) { return _mm512_add_epi32(a, b); }
inline void store(int32_t* to, Sums s) { _mm512_storeu_si512(to, s); }

#elif defined(WITH_AVX2)
// As above, in two halves.
constexpr int32_t EXCESS = 0;
struct Sums {
  __m256i low, high;
};
struct Tile {
  __m256i low, high;
};
typedef __m256i Quad;
inline Sums zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
inline Tile load_tile(const int8_t* w) {
  return {_mm256_loadu_si256((const __m256i*)w), _mm256_loadu_si256((const __m256i*)(w + 32))};
}
inline Quad load_quad(const int8_t* x) { return _mm256_set1_epi32(load<int32_t>(x)); }
inline __m256i add_dot_256(__m256i s, __m256i w, __m256i x) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  return _mm256_add_epi32(s, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
inline Sums add_dot(Sums s, Tile w, Quad x) {
  return {add_dot_256(s.low, w.low, x), add_dot_256(s.high, w.high, x)};
}
inline Sums add(Sums a, Sums b) {
  return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}
inline void store(int32_t* to, Sums s) {
  _mm256_storeu_si256((__m256i*)to, s.low);
  _mm256_storeu_si256((__m256i*)(to + 8), s.high);
}

#elif defined(WITH_NEON)
constexpr int32_t EXCESS = 0;
struct Sums {
  int32x4_t part[4];
};
struct Tile {
  int8x16_t part[4];
};
typedef int8x16_t Quad;
inline Sums zero() { return {{vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)}}; }
inline Tile load_tile(const int8_t* w) {
  return {{vld1q_s8(w), vld1q_s8(w + 16), vld1q_s8(w + 32), vld1q_s8(w + 48)}};
}
inline Quad load_quad(const int8_t* x) {
  return vreinterpretq_s8_s32(vdupq_n_s32(load<int32_t>(x)));
}
inline Sums add_dot(Sums s, Tile w, Quad x) {
  for (int k = 0; k < 4; ++k) {
#if defined(__ARM_FEATURE_DOTPROD)
    s.part[k] = vdotq_s32(s.part[k], w.part[k], x);
#else
    const int16x8_t low = vmull_s8(vget_low_s8(w.part[k]), vget_low_s8(x));
    const int16x8_t high = vmull_s8(vget_high_s8(w.part[k]), vget_high_s8(x));
    s.part[k] = vaddq_s32(s.part[k], vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
  }
  return s;
}
inline Sums add(Sums a, Sums b) {
  for (int k = 0; k < 4; ++k) a.part[k] = vaddq_s32(a.part[k], b.part[k]);
  return a;
}
inline void store(int32_t* to, Sums s) {
  for (int k = 0; k < 4; ++k) vst1q_s32(to + 4 * k, s.part[k]);
}

#else
constexpr int32_t EXCESS = 0;
struct Sums {
  int32_t row[TILE_ROWS];
};
typedef const int8_t* Tile;
typedef const int8_t* Quad;
inline Sums zero() { return {}; }
inline Tile load_tile(const int8_t* w) { return w; }
inline Quad load_quad(const int8_t* x) { return x; }
inline Sums add_dot(Sums s, Tile w, Quad x) {
  for (int k = 0; k < TILE_ROWS; ++k, w += TILE_COLUMNS) {
    s.row[k] += w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3] * x[3];
  }
  return s;
}
inline Sums add(Sums a, Sums b) {
  for (int k = 0; k < TILE_ROWS; ++k) a.row[k] += b.row[k];
  return a;
}
inline void store(int32_t* to, Sums s) { std::memcpy(to, s.row, sizeof s.row); }
#endif

// 16 whole sums as floats: y = sum * (scale of the row * scale of the vector) + bias.
inline void store_dequantized(const int32_t* sums, int32_t excess, const float* scale,
                              const Vectors& vectors, int64_t v, const float* bias, float* y) {
  for (int64_t k = 0; k < TILE_ROWS; k += WIDTH) {
    const Ints exact = load<Ints>(sums + k) - excess;
    const Floats factor = load<Floats>(scale + k) * vectors.scale[v];
    const Floats b = bias ? load<Floats>(bias + k) : broadcast(0);
    store(y + k, __builtin_convertvector(exact, Floats) * factor + b);
  }
}

inline void store_dequantized(Sums sums, const float* scale, const Vectors& vectors, int64_t v,
                              const float* bias, float* y) {
  int32_t exact[TILE_ROWS];
  store(exact, sums);
  store_dequantized(exact, EXCESS * vectors.sum[v], scale, vectors, v, bias, y);
}

// T tiles of rows below each other by C vectors, all their sums in registers.
template <int T, int C>
inline void multiply_tiles(const Matrix& m, int64_t row, int64_t v, const Vectors& vectors,
                           const float* bias, float* y, int64_t stride) {
  const int64_t depth = padded(m.columns, TILE_COLUMNS) / TILE_COLUMNS;  // tiles side by side
  const int8_t* w = static_cast<const int8_t*>(m.data) + row * depth * TILE_COLUMNS;
  const int8_t* x = vectors.quantized + v * vectors.stride;
  Sums sums[T][C];
  UNROLL
  for (int t = 0; t < T; ++t) UNROLL
  for (int c = 0; c < C; ++c) sums[t][c] = zero();
  for (int64_t k = 0; k < depth; ++k) {
    Tile rows[T];
    UNROLL
    for (int t = 0; t < T; ++t) rows[t] = load_tile(w + (t * depth + k) * TILE_SIZE);
    UNROLL
    for (int c = 0; c < C; ++c) {
      const Quad values = load_quad(x + c * vectors.stride + k * TILE_COLUMNS);
      UNROLL
      for (int t = 0; t < T; ++t) sums[t][c] = add_dot(sums[t][c], rows[t], values);
    }
  }
  UNROLL
  for (int t = 0; t < T; ++t) UNROLL
  for (int c = 0; c < C; ++c)
    store_dequantized(sums[t][c], m.scale + row + t * TILE_ROWS, vectors, v + c,
                      bias ? bias + row + t * TILE_ROWS : nullptr,
                      y + (v + c) * stride + t * TILE_ROWS);
}

// One tile of rows by one vector, read straight on with four sums in flight.
inline void multiply_one_tile(const Matrix& m, int64_t row, const Vectors& vectors,
                              const float* bias, float* y) {
  const int64_t depth = padded(m.columns, TILE_COLUMNS) / TILE_COLUMNS;  // tiles side by side
  const int8_t* w = static_cast<const int8_t*>(m.data) + row * depth * TILE_COLUMNS;
  const int8_t* x = vectors.quantized;
  Sums a = zero(), b = zero(), c = zero(), d = zero();
  int64_t k = 0;
  for (; k + 4 <= depth; k += 4, w += 4 * TILE_SIZE, x += 4 * TILE_COLUMNS) {
    prefetch_ahead<4 * TILE_SIZE>(w);
    a = add_dot(a, load_tile(w), load_quad(x));
    b = add_dot(b, load_tile(w + TILE_SIZE), load_quad(x + TILE_COLUMNS));
    c = add_dot(c, load_tile(w + 2 * TILE_SIZE), load_quad(x + 2 * TILE_COLUMNS));
    d = add_dot(d, load_tile(w + 3 * TILE_SIZE), load_quad(x + 3 * TILE_COLUMNS));
  }
  for (; k < depth; ++k, w += TILE_SIZE, x += TILE_COLUMNS)
    a = add_dot(a, load_tile(w), load_quad(x));
  store_dequantized(add(add(a, b), add(c, d)), m.scale + row, vectors, 0,
                    bias ? bias + row : nullptr, y);
}

// C vectors at a time, then the rest by halves.
template <int T, int C>
inline void multiply_tile_row(const Matrix& m, int64_t row, int64_t v, const Vectors& vectors,
                              const float* bias, float* y, int64_t stride) {
  for (; v + C <= vectors.count; v += C) multiply_tiles<T, C>(m, row, v, vectors, bias, y, stride);
  if constexpr (C > 1) multiply_tile_row<T, C / 2>(m, row, v, vectors, bias, y, stride);
}

#if defined(WITH_AVX512)
constexpr int TILES_AT_ONCE = 2, VECTORS_PER_TILE = 8;
#elif defined(WITH_AVX2) || defined(WITH_NEON)
constexpr int TILES_AT_ONCE = 1, VECTORS_PER_TILE = 4;
#else
constexpr int TILES_AT_ONCE = 1, VECTORS_PER_TILE = 1;
#endif

void multiply_int8(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
                   const float* bias, float* y, int64_t stride) {
  int64_t row = first;
  if (vectors.count == 1) {
    for (; row < last; row += TILE_ROWS) multiply_one_tile(m, row, vectors, bias, y + row - first);
    return;
  }
  for (; row + (TILES_AT_ONCE - 1) * TILE_ROWS < last; row += TILES_AT_ONCE * TILE_ROWS)
    multiply_tile_row<TILES_AT_ONCE, VECTORS_PER_TILE>(m, row, 0, vectors, bias, y + row - first,
                                                       stride);
  for (; row < last; row += TILE_ROWS)
    multiply_tile_row<1, VECTORS_PER_TILE>(m, row, 0, vectors, bias, y + row - first, stride);
}

}  // namespace
}  // namespace carousel
