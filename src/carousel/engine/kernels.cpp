// The kernels: products, gates and what decoding needs, for one instruction set.
//
// This file is compiled once for each instruction set, with the compiler's flags for it and with
// CAROUSEL_KERNELS naming the table it fills. Float arithmetic is written once, on the vector type
// of GCC and Clang, as wide as the machine's registers; only int8 products have lines of their own
// for each set. Everything but the table is private to the object (and nothing inline comes from
// the standard library): code compiled for a newer processor must not be shared with the others.

#include "kernels.h"

#include <cmath>
#include <cstring>

// What the compiler was told, except where plain C++ was asked for.
#if defined(CAROUSEL_PLAIN)
#elif defined(__AVX512VNNI__)
#define WITH_VNNI
#define WITH_AVX512
#elif defined(__AVX512BW__)
#define WITH_AVX512
#elif defined(__AVX2__)
#define WITH_AVX2
#elif defined(__ARM_NEON)
#define WITH_NEON
#endif

#if defined(WITH_AVX512) || defined(WITH_AVX2)
#include <immintrin.h>
#elif defined(WITH_NEON)
#include <arm_neon.h>
#endif

namespace carousel {
namespace {

// Small loops over registers must be unrolled for their arrays to stay in registers.
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

template <int n>
struct Number {
  static constexpr int value = n;
};

// -- vectors of floats ----------------------------------------------------------------------------

#if defined(WITH_AVX512)
constexpr int WIDTH = 16;
#elif defined(WITH_AVX2)
constexpr int WIDTH = 8;
#else
constexpr int WIDTH = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * WIDTH)));
typedef int32_t Ints __attribute__((vector_size(4 * WIDTH)));
typedef uint32_t Bits __attribute__((vector_size(4 * WIDTH)));
typedef uint16_t Halves __attribute__((vector_size(2 * WIDTH)));

template <class Vector, class Element>
inline Vector load(const Element* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline void save(float* to, Floats v) { std::memcpy(to, &v, sizeof v); }

inline Floats splat(float x) {
  Floats v;
  for (int k = 0; k < WIDTH; ++k) v[k] = x;
  return v;
}

// The second where the first is not a number, as the instructions have it.
#if defined(WITH_AVX512)
inline Floats larger(Floats a, Floats b) { return (Floats)_mm512_max_ps((__m512)a, (__m512)b); }
inline Floats smaller(Floats a, Floats b) { return (Floats)_mm512_min_ps((__m512)a, (__m512)b); }
#elif defined(WITH_AVX2)
inline Floats larger(Floats a, Floats b) { return (Floats)_mm256_max_ps((__m256)a, (__m256)b); }
inline Floats smaller(Floats a, Floats b) { return (Floats)_mm256_min_ps((__m256)a, (__m256)b); }
#else
inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
inline Floats smaller(Floats a, Floats b) { return a < b ? a : b; }
#endif
inline Floats magnitude(Floats x) { return (Floats)((Bits)x & 0x7fffffffu); }

// The sums of four vectors, at the price of little more than one.
inline void sum_four(const Floats (&v)[4], float* to) {
#if defined(WITH_AVX512)
  const __m512 a = (__m512)v[0], b = (__m512)v[1], c = (__m512)v[2], d = (__m512)v[3];
  const __m512d ab =
      _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
  const __m512d cd =
      _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
  const __m512 all = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                                   _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
#elif defined(WITH_AVX2)
  const __m256 a = (__m256)v[0], b = (__m256)v[1], c = (__m256)v[2], d = (__m256)v[3];
  const __m256d ab =
      _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)));
  const __m256d cd =
      _mm256_castps_pd(_mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d)));
  const __m256 half = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)),
                                    _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)));
#endif
#if defined(WITH_AVX512) || defined(WITH_AVX2)
  _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
#else
  for (int k = 0; k < 4; ++k) to[k] = (v[k][0] + v[k][2]) + (v[k][1] + v[k][3]);
#endif
}

// As sum_four has it, to the last bit.
inline float sum(Floats v) {
  float sums[4];
  sum_four({v, splat(0), splat(0), splat(0)}, sums);
  return sums[0];
}

inline float largest_of(Floats v) {
#if defined(WITH_AVX512)
  return _mm512_reduce_max_ps((__m512)v);
#else
  float largest = v[0];
  for (int k = 1; k < WIDTH; ++k) largest = v[k] > largest ? v[k] : largest;
  return largest;
#endif
}

inline bool any(Ints v) {
#if defined(WITH_AVX512)
  return _mm512_test_epi32_mask((__m512i)v, (__m512i)v) != 0;
#elif defined(WITH_AVX2)
  return _mm256_movemask_epi8((__m256i)v) != 0;
#else
  uint64_t half[2];
  std::memcpy(half, &v, sizeof half);
  return (half[0] | half[1]) != 0;
#endif
}

// -- exp, sigmoid, tanh: within a few units in the last place -------------------------------------

constexpr float ROUND = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to a whole number
constexpr uint32_t ROUND_BITS = 0x4b400000u;

// exp of -87.3 to 88, and of what lies outside as of the nearer end; never denormal or infinite.
inline Floats exp(Floats x) {
  x = smaller(larger(x, splat(-87.3f)), splat(88.0f));
  const Floats shifted = x * 1.44269504f + ROUND;
  const Floats n = shifted - ROUND;
  const Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  // The Taylor series to r^7 is exact to 5e-9 for |r| <= ln 2 / 2.
  Floats p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return p * (Floats)(((Bits)shifted - (ROUND_BITS - 127)) << 23);
}

inline Floats sigmoid(Floats x) { return 1.0f / (1.0f + exp(-x)); }

inline Floats tanh(Floats x) {
  const Floats a = magnitude(x);
  const Floats far = 1.0f - 2.0f / (1.0f + exp(a + a));
  // Near 0 that loses digits: an odd polynomial instead, fitted to 3e-8 relative below 0.625.
  const Floats z = x * x;
  Floats p = z * -0.00571700931f + 0.0206505526f;
  p = p * z + -0.0537434854f;
  p = p * z + 0.133314908f;
  p = p * z + -0.333332837f;
  p = p * z * a + a;
  const Floats y = a < splat(0.625f) ? p : far;
  return (Floats)((Bits)y | ((Bits)x & 0x80000000u));
}

// -- int8: 16 rows by 4 columns at a time ---------------------------------------------------------

// Sums of 16 rows, and the signed dot products of a tile [16, 4] with 4 values. All are exact.

#if defined(WITH_VNNI)
// The instruction takes unsigned by signed bytes: weights go in as w + 128, which adds 128 times
// the sum of the vector to every row.
constexpr int32_t EXCESS = 128;
typedef __m512i Sums;
typedef __m512i Tile;
typedef __m512i Four;
inline Sums zero() { return _mm512_setzero_si512(); }
inline Tile tile(const int8_t* w) {
  return _mm512_xor_si512(_mm512_loadu_si512(w), _mm512_set1_epi8(-128));
}
inline Four four(const int8_t* x) { return _mm512_set1_epi32(load<int32_t>(x)); }
inline Sums dot(Sums s, Tile w, Four x) {
  // _mm512_dpbusd_epi32, which GCC surrounds with copies, and even with stores.
  __asm__("vpdpbusd %2, %1, %0" : "+v"(s) : "v"(w), "v"(x));
  return s;
}
inline Sums plus(Sums a, Sums b) { return _mm512_add_epi32(a, b); }
inline void save(int32_t* to, Sums s) { _mm512_storeu_si512(to, s); }

#elif defined(WITH_AVX512)
// |w| is at most 128 and |x| at most 127, so that the sums of two products fit 16 bits.
constexpr int32_t EXCESS = 0;
typedef __m512i Sums;
typedef __m512i Tile;
typedef __m512i Four;
inline Sums zero() { return _mm512_setzero_si512(); }
inline Tile tile(const int8_t* w) { return _mm512_loadu_si512(w); }
inline Four four(const int8_t* x) { return _mm512_set1_epi32(load<int32_t>(x)); }
inline Sums dot(Sums s, Tile w, Four x) {
  const __m512i signed_x = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), zero(), x);
  const __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(w), signed_x);
  return _mm512_add_epi32(s, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}
inline Sums plus(Sums a, Sums b) { return _mm512_add_epi32(a, b); }
inline void save(int32_t* to, Sums s) { _mm512_storeu_si512(to, s); }

#elif defined(WITH_AVX2)
// As above, in two halves.
constexpr int32_t EXCESS = 0;
struct Sums { __m256i low, high; };
struct Tile { __m256i low, high; };
typedef __m256i Four;
inline Sums zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
inline Tile tile(const int8_t* w) {
  return {_mm256_loadu_si256((const __m256i*)w), _mm256_loadu_si256((const __m256i*)(w + 32))};
}
inline Four four(const int8_t* x) { return _mm256_set1_epi32(load<int32_t>(x)); }
inline __m256i dot8(__m256i s, __m256i w, __m256i x) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  return _mm256_add_epi32(s, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
inline Sums dot(Sums s, Tile w, Four x) { return {dot8(s.low, w.low, x), dot8(s.high, w.high, x)}; }
inline Sums plus(Sums a, Sums b) {
  return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}
inline void save(int32_t* to, Sums s) {
  _mm256_storeu_si256((__m256i*)to, s.low);
  _mm256_storeu_si256((__m256i*)(to + 8), s.high);
}

#elif defined(WITH_NEON)
constexpr int32_t EXCESS = 0;
struct Sums { int32x4_t part[4]; };
struct Tile { int8x16_t part[4]; };
typedef int8x16_t Four;
inline Sums zero() {
  return {{vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)}};
}
inline Tile tile(const int8_t* w) {
  return {{vld1q_s8(w), vld1q_s8(w + 16), vld1q_s8(w + 32), vld1q_s8(w + 48)}};
}
inline Four four(const int8_t* x) { return vreinterpretq_s8_s32(vdupq_n_s32(load<int32_t>(x))); }
inline Sums dot(Sums s, Tile w, Four x) {
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
inline Sums plus(Sums a, Sums b) {
  for (int k = 0; k < 4; ++k) a.part[k] = vaddq_s32(a.part[k], b.part[k]);
  return a;
}
inline void save(int32_t* to, Sums s) {
  for (int k = 0; k < 4; ++k) vst1q_s32(to + 4 * k, s.part[k]);
}

#else
constexpr int32_t EXCESS = 0;
struct Sums { int32_t row[TILE]; };
typedef const int8_t* Tile;
typedef const int8_t* Four;
inline Sums zero() { return {}; }
inline Tile tile(const int8_t* w) { return w; }
inline Four four(const int8_t* x) { return x; }
inline Sums dot(Sums s, Tile w, Four x) {
  for (int k = 0; k < TILE; ++k, w += DEPTH) {
    s.row[k] += w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3] * x[3];
  }
  return s;
}
inline Sums plus(Sums a, Sums b) {
  for (int k = 0; k < TILE; ++k) a.row[k] += b.row[k];
  return a;
}
inline void save(int32_t* to, Sums s) { std::memcpy(to, s.row, sizeof s.row); }
#endif

// 16 whole sums as floats: y = sum * (scale of the row * scale of the vector) + bias.
inline void finish(Sums sums, const float* scale, const Vectors& vectors, int64_t v,
                   const float* bias, float* y) {
  int32_t whole[TILE];
  save(whole, sums);
  const int32_t excess = EXCESS * vectors.sum[v];
  for (int64_t k = 0; k < TILE; k += WIDTH) {
    const Ints exact = load<Ints>(whole + k) - excess;
    const Floats factor = load<Floats>(scale + k) * vectors.scale[v];
    const Floats b = bias ? load<Floats>(bias + k) : splat(0);
    save(y + k, __builtin_convertvector(exact, Floats) * factor + b);
  }
}

// T tiles of rows below each other by C vectors, all their sums in registers.
template <int T, int C>
inline void tiles(const Matrix& m, int64_t row, int64_t v, const Vectors& vectors,
                  const float* bias, float* y, int64_t stride) {
  const int64_t depth = padded(m.columns, DEPTH) / DEPTH;
  const int8_t* w = static_cast<const int8_t*>(m.data) + row * depth * DEPTH;
  const int8_t* x = vectors.bytes + v * vectors.stride;
  Sums sums[T][C];
  UNROLL for (int t = 0; t < T; ++t)
    UNROLL for (int c = 0; c < C; ++c) sums[t][c] = zero();
  for (int64_t k = 0; k < depth; ++k) {
    Tile rows[T];
    UNROLL for (int t = 0; t < T; ++t) rows[t] = tile(w + (t * depth + k) * TILE * DEPTH);
    UNROLL for (int c = 0; c < C; ++c) {
      const Four values = four(x + c * vectors.stride + k * DEPTH);
      UNROLL for (int t = 0; t < T; ++t) sums[t][c] = dot(sums[t][c], rows[t], values);
    }
  }
  UNROLL for (int t = 0; t < T; ++t)
    UNROLL for (int c = 0; c < C; ++c)
      finish(sums[t][c], m.scale + row + t * TILE, vectors, v + c,
             bias ? bias + row + t * TILE : nullptr, y + (v + c) * stride + t * TILE);
}

// One tile of rows by one vector, read straight on with four sums in flight.
inline void one_tile(const Matrix& m, int64_t row, const Vectors& vectors, const float* bias,
                     float* y) {
  const int64_t depth = padded(m.columns, DEPTH) / DEPTH;
  const int8_t* w = static_cast<const int8_t*>(m.data) + row * depth * DEPTH;
  const int8_t* x = vectors.bytes;
  Sums a = zero(), b = zero(), c = zero(), d = zero();
  int64_t k = 0;
  for (; k + 4 <= depth; k += 4, w += 4 * TILE * DEPTH, x += 4 * DEPTH) {
    a = dot(a, tile(w), four(x));
    b = dot(b, tile(w + TILE * DEPTH), four(x + DEPTH));
    c = dot(c, tile(w + 2 * TILE * DEPTH), four(x + 2 * DEPTH));
    d = dot(d, tile(w + 3 * TILE * DEPTH), four(x + 3 * DEPTH));
  }
  for (; k < depth; ++k, w += TILE * DEPTH, x += DEPTH) a = dot(a, tile(w), four(x));
  finish(plus(plus(a, b), plus(c, d)), m.scale + row, vectors, 0, bias ? bias + row : nullptr, y);
}

// C vectors at a time, then the rest by halves.
template <int T, int C>
inline void tile_rows(const Matrix& m, int64_t row, int64_t v, const Vectors& vectors,
                      const float* bias, float* y, int64_t stride) {
  for (; v + C <= vectors.count; v += C) tiles<T, C>(m, row, v, vectors, bias, y, stride);
  if constexpr (C > 1) tile_rows<T, C / 2>(m, row, v, vectors, bias, y, stride);
}

#if defined(WITH_AVX512)
constexpr int TILES = 2, TILE_VECTORS = 8;
#elif defined(WITH_AVX2) || defined(WITH_NEON)
constexpr int TILES = 1, TILE_VECTORS = 4;
#else
constexpr int TILES = 1, TILE_VECTORS = 1;
#endif

void product_int8(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
                  const float* bias, float* y, int64_t stride) {
  int64_t row = first;
  if (vectors.count == 1) {
    for (; row < last; row += TILE) one_tile(m, row, vectors, bias, y + row - first);
    return;
  }
  for (; row + (TILES - 1) * TILE < last; row += TILES * TILE)
    tile_rows<TILES, TILE_VECTORS>(m, row, 0, vectors, bias, y + row - first, stride);
  for (; row < last; row += TILE)
    tile_rows<1, TILE_VECTORS>(m, row, 0, vectors, bias, y + row - first, stride);
}

// -- float32 and bfloat16, row by row -------------------------------------------------------------

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
  Floats a = splat(0), b = a, c = a, d = a;
  int64_t k = 0;
  for (; k + 4 * WIDTH <= columns; k += 4 * WIDTH) {
    a += weights(w + k) * load<Floats>(x + k);
    b += weights(w + k + WIDTH) * load<Floats>(x + k + WIDTH);
    c += weights(w + k + 2 * WIDTH) * load<Floats>(x + k + 2 * WIDTH);
    d += weights(w + k + 3 * WIDTH) * load<Floats>(x + k + 3 * WIDTH);
  }
  for (; k < columns; k += WIDTH) a += weights(w + k) * load<Floats>(x + k);
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
constexpr int64_t SHORT = 256;  // columns of bfloat16 rows of which four are as good as one long one

template <class Element>
void product_rows(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
                  const float* bias, float* y, int64_t stride, float* space) {
  constexpr bool is_float = sizeof(Element) == sizeof(float);
  const bool straight = vectors.count == 1 && (is_float || m.columns > SHORT);
  const int64_t wide = padded(m.columns, 2 * WIDTH);
  Element* copies = reinterpret_cast<Element*>(space);
  Vectors parted = vectors;
  if (!is_float && !straight) {
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
    UNROLL for (int r = 0; r < R; ++r) sums[r] = one_row(w[r], vectors.values, m.columns);
    finish_rows<R>(sums, b, to);
  };
  int64_t row = first;
  for (; row + BLOCK <= last; row += BLOCK) rows(Number<BLOCK>{}, row);
  for (; row < last; ++row) rows(Number<1>{}, row);
}

void product_of_few(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
                    const float* bias, float* y, int64_t stride, float* space) {
  if (m.format == Format::int8)
    product_int8(m, first, last, vectors, bias, y, stride);
  else if (m.format == Format::float32)
    product_rows<float>(m, first, last, vectors, bias, y, stride, space);
  else
    product_rows<uint16_t>(m, first, last, vectors, bias, y, stride, space);
}

void quantize(const float* x, int64_t size, int8_t* bytes, float* scale, int32_t* total) {
  Floats most = splat(0);
  for (int64_t k = 0; k < size; k += WIDTH) most = larger(most, magnitude(load<Floats>(x + k)));
  const float largest = largest_of(most);
  const bool some = largest > 1e-30f;  // below that the factor would overflow
  const float factor = some ? 127.0f / largest : 0.0f;
  Ints sums = {};
  for (int64_t k = 0; k < size; k += WIDTH) {
    // The lowest byte of the sum's bits is the rounded value in two's complement.
    const Bits rounded = (Bits)(load<Floats>(x + k) * factor + ROUND);
    sums += (Ints)(rounded - ROUND_BITS);
    int32_t words[WIDTH];
    std::memcpy(words, &rounded, sizeof words);
    for (int j = 0; j < WIDTH; ++j) bytes[k + j] = static_cast<int8_t>(words[j]);
  }
  *total = 0;
  for (int k = 0; k < WIDTH; ++k) *total += sums[k];
  *scale = some ? largest / 127.0f : 0.0f;
}

// -- gates ----------------------------------------------------------------------------------------

// Writes a gate out and holds it where it is held.
template <bool watched>
inline Floats see(const Update& u, int point, int64_t k, Floats value) {
  if constexpr (watched) {
    const Watch& w = *u.watch;
    if (w.mask[point])
      value = load<Ints>(w.mask[point] + k) != 0 ? load<Floats>(w.value[point] + k) : value;
    save(w.out[point] + k, value);
  }
  return value;
}

template <bool watched>
void update_rnn(const Update& u) {
  for (int64_t k = 0; k < u.size; k += WIDTH) {
    const Floats h = tanh(load<Floats>(u.x + k) + load<Floats>(u.r + k));
    save(u.h_out + k, see<watched>(u, 0, k, h));
  }
}

// The GRU from its candidate's pre-activation on.
template <bool watched>
inline void new_h(const Update& u, int64_t k, Floats z, Floats candidate) {
  const Floats n = see<watched>(u, 2, k, tanh(candidate));
  const Floats h = load<Floats>(u.h + k);
  save(u.h_out + k, see<watched>(u, 3, k, (1.0f - z) * n + z * h));
}

template <bool watched>
void update_gru(const Update& u) {
  const float *x_z = u.x + u.size, *x_n = x_z + u.size, *r_z = u.r + u.size, *r_n = r_z + u.size;
  for (int64_t k = 0; k < u.size; k += WIDTH) {
    const Floats r =
        see<watched>(u, 0, k, sigmoid(load<Floats>(u.x + k) + load<Floats>(u.r + k)));
    const Floats z = see<watched>(u, 1, k, sigmoid(load<Floats>(x_z + k) + load<Floats>(r_z + k)));
    new_h<watched>(u, k, z, load<Floats>(x_n + k) + r * load<Floats>(r_n + k));
  }
}

template <bool watched>
void reset_gru(const Update& u) {
  const float *x_z = u.x + u.size, *r_z = u.r + u.size;
  for (int64_t k = 0; k < u.size; k += WIDTH) {
    const Floats r =
        see<watched>(u, 0, k, sigmoid(load<Floats>(u.x + k) + load<Floats>(u.r + k)));
    const Floats z = see<watched>(u, 1, k, sigmoid(load<Floats>(x_z + k) + load<Floats>(r_z + k)));
    save(u.reset + k, r * load<Floats>(u.h + k));
    save(u.keep + k, z);
  }
}

// Here `r` is R_n (r ⊙ h) + b_hn alone.
template <bool watched>
void update_gru_reset_before(const Update& u) {
  const float* x_n = u.x + 2 * u.size;
  for (int64_t k = 0; k < u.size; k += WIDTH)
    new_h<watched>(u, k, load<Floats>(u.keep + k), load<Floats>(x_n + k) + load<Floats>(u.r + k));
}

template <bool watched, bool coupled, bool peephole>
void update_lstm(const Update& u) {
  const int64_t H = u.size;
  const int64_t at_f = H, at_g = coupled ? H : 2 * H, at_o = at_g + H;
  const float *p_i = u.peephole, *p_f = p_i + H, *p_o = p_i + (coupled ? H : 2 * H);
  for (int64_t k = 0; k < H; k += WIDTH) {
    const auto gate = [&](int64_t at) {
      return load<Floats>(u.x + at + k) + load<Floats>(u.r + at + k);
    };
    Floats c = load<Floats>(u.c + k);
    Floats a_i = gate(0);
    if constexpr (peephole) a_i += load<Floats>(p_i + k) * c;
    const Floats i = see<watched>(u, 0, k, sigmoid(a_i));
    Floats f;
    if constexpr (coupled) {
      f = 1.0f - i;
    } else {
      Floats a_f = gate(at_f);
      if constexpr (peephole) a_f += load<Floats>(p_f + k) * c;
      f = sigmoid(a_f);
    }
    f = see<watched>(u, 1, k, f);
    const Floats g = see<watched>(u, 2, k, tanh(gate(at_g)));
    c = see<watched>(u, 3, k, f * c + i * g);
    Floats a_o = gate(at_o);
    if constexpr (peephole) a_o += load<Floats>(p_o + k) * c;
    const Floats o = see<watched>(u, 4, k, sigmoid(a_o));
    save(u.c_out + k, c);
    save(u.h_out + k, see<watched>(u, 5, k, o * tanh(c)));
  }
}

template <bool watched>
void update_cell(const Update& u) {
  switch (u.cell) {
    case Cell::rnn: return update_rnn<watched>(u);
    case Cell::gru: return update_gru<watched>(u);
    case Cell::gru_reset_before: return update_gru_reset_before<watched>(u);
    case Cell::lstm:
      return u.peephole ? update_lstm<watched, false, true>(u)
                        : update_lstm<watched, false, false>(u);
    case Cell::cifg:
      return u.peephole ? update_lstm<watched, true, true>(u)
                        : update_lstm<watched, true, false>(u);
  }
}

void update(const Update& u) { u.watch ? update_cell<true>(u) : update_cell<false>(u); }

void reset(const Update& u) { u.watch ? reset_gru<true>(u) : reset_gru<false>(u); }

// -- decoding -------------------------------------------------------------------------------------

typedef double Doubles __attribute__((vector_size(8 * WIDTH)));

constexpr int GROUP = 4;  // vectors that are looked at together

// Adds scores, which are those of rows `at` and on, to a tally.
void add(const float* x, int64_t size, int64_t at, Tally& t) {
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
        if (from[n] > t.bar) t.places[t.found++] = static_cast<int32_t>(at + k + n);
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

// -- products ---------------------------------------------------------------------------------------

constexpr int64_t PANEL = 128 << 10;  // bytes of rows that fit the second cache

void product(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
             const float* bias, float* y, int64_t stride, float* space, Tally* tallies) {
  const int64_t size = m.format == Format::int8 ? 1 : m.format == Format::bfloat16 ? 2 : 4;
  const int64_t rows = vectors.count > FEW ? padded(PANEL / (m.columns * size) + 1)
                       : last - first;
  for (int64_t v = 0; tallies && v < vectors.count; ++v) tallies[v].found = 0;
  for (int64_t row = first; row < last; row += rows) {
    const int64_t end = row + rows < last ? row + rows : last;
    for (int64_t v = 0; v < vectors.count; v += FEW) {
      Vectors few = vectors;
      few.count = vectors.count - v < FEW ? vectors.count - v : FEW;
      few.values += v * vectors.stride;
      few.bytes += v * vectors.stride;
      few.scale += v;
      few.sum += v;
      float* to = y + v * stride + row - first;
      product_of_few(m, row, end, few, bias, to, stride, space);
      for (int64_t n = 0; tallies && n < few.count; ++n)
        add(to + n * stride, end - row, row - first, tallies[v + n]);
    }
  }
}

}  // namespace

#define TEXT_OF(name) #name
#define NAME_OF(name) TEXT_OF(name)
#define TABLE_OF(name) name##_kernels
#define TABLE(name) TABLE_OF(name)

const Kernels* TABLE(CAROUSEL_KERNELS)() {
  static const Kernels table = {NAME_OF(CAROUSEL_KERNELS), quantize, product, update,
                                reset,                     above};
  return &table;
}

}  // namespace carousel
