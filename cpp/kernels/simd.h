// Vectors of floats as wide as the machine's registers, and exp, sigmoid and tanh of them.
#pragma once

#include <cmath>
#include <cstring>

#include "carousel/kernels.h"

// What the compiler was told, except where plain C++ was asked for.
#if defined(CAROUSEL_PLAIN)
#elif defined(__AVX512VNNI__)
#define WITH_VNNI
#define WITH_AVX512
#if defined(CAROUSEL_AMX)
#define WITH_AMX
#endif
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
struct Constant {
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
typedef uint16_t Bfloat16s __attribute__((vector_size(2 * WIDTH)));

template <class Vector, class Element>
inline Vector load(const Element* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

// Asks for what will be read a page later: a processor looks less far ahead by itself than memory
// is away, the more so where a byte takes several instructions.
template <int bytes>
inline void prefetch_ahead(const void* from) {
  constexpr int PAGE = 4096, LINE = 64;
  UNROLL
  for (int n = 0; n < bytes; n += LINE)
    __builtin_prefetch(static_cast<const char*>(from) + PAGE + n);
}

inline void store(float* to, Floats v) { std::memcpy(to, &v, sizeof v); }

inline Floats broadcast(float x) {
  Floats v;
  for (int k = 0; k < WIDTH; ++k) v[k] = x;
  return v;
}

// The second where either is not a number, as the instructions have it.
#if defined(WITH_AVX512)
inline Floats max(Floats a, Floats b) { return (Floats)_mm512_max_ps((__m512)a, (__m512)b); }
inline Floats min(Floats a, Floats b) { return (Floats)_mm512_min_ps((__m512)a, (__m512)b); }
#elif defined(WITH_AVX2)
inline Floats max(Floats a, Floats b) { return (Floats)_mm256_max_ps((__m256)a, (__m256)b); }
inline Floats min(Floats a, Floats b) { return (Floats)_mm256_min_ps((__m256)a, (__m256)b); }
#else
inline Floats max(Floats a, Floats b) { return a > b ? a : b; }
inline Floats min(Floats a, Floats b) { return a < b ? a : b; }
#endif
inline Floats abs(Floats x) { return (Floats)((Bits)x & 0x7fffffffu); }

// The sums of four vectors, at the price of little more than one.
inline void horizontal_sums(const Floats (&v)[4], float* to) {
#if defined(WITH_AVX512)
  const __m512 a = (__m512)v[0], b = (__m512)v[1], c = (__m512)v[2], d = (__m512)v[3];
  const __m512d ab =
      _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
  const __m512d cd =
      _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
  const __m512 sums = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                                    _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_extractf32x8_ps(sums, 1));
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

// As horizontal_sums has it, to the last bit.
inline float horizontal_sum(Floats v) {
  float sums[4];
  horizontal_sums({v, broadcast(0), broadcast(0), broadcast(0)}, sums);
  return sums[0];
}

inline float horizontal_max(Floats v) {
#if defined(WITH_AVX512)
  return _mm512_reduce_max_ps((__m512)v);
#else
  float max = v[0];
  for (int k = 1; k < WIDTH; ++k) max = v[k] > max ? v[k] : max;
  return max;
#endif
}

inline bool any_set(Ints v) {
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

constexpr float ROUND =
    12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to a whole number
constexpr uint32_t ROUND_BITS = 0x4b400000u;

// exp of -87.3 to 88, and of what lies outside as of the nearer end; never denormal or infinite.
// NaN for NaN.
inline Floats exp(Floats x) {
  x = min(broadcast(88.0f), max(broadcast(-87.3f), x));  // in this order NaN stays NaN
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
  const Floats a = abs(x);
  const Floats far = 1.0f - 2.0f / (1.0f + exp(a + a));
  // Near 0 that loses digits: an odd polynomial instead, fitted to 3e-8 relative below 0.625.
  const Floats z = x * x;
  Floats p = z * -0.00571700931f + 0.0206505526f;
  p = p * z + -0.0537434854f;
  p = p * z + 0.133314908f;
  p = p * z + -0.333332837f;
  p = p * z * a + a;
  const Floats y = a < broadcast(0.625f) ? p : far;
  return (Floats)((Bits)y | ((Bits)x & 0x80000000u));
}

}  // namespace
}  // namespace carousel
