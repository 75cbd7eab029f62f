// The kernels: products, gates and what decoding needs, for one instruction set.
//
// This file is compiled once for each instruction set, with the compiler's flags for it and with
// CAROUSEL_KERNELS naming the table it fills. Float arithmetic is written once, on the vector type
// of GCC and Clang, as wide as the machine's registers; only int8 products and the matrix unit have
// lines of their own. Everything but the table is private to the object (and nothing inline comes
// from the standard library): code compiled for a newer processor must not be shared with the
// others.

#include "carousel/kernels.h"

#include "gates.h"
#include "int8.h"
#include "matmul.h"
#include "matvec.h"
#include "scores.h"
#if defined(WITH_AMX)
#include "amx.h"
#endif

namespace carousel {
namespace {

// As many vectors from `v` on as are multiplied together.
inline Vectors next_vectors(const Vectors& vectors, int64_t v) {
  Vectors next = vectors;
  next.count = vectors.count - v < MAX_VECTORS ? vectors.count - v : MAX_VECTORS;
  next.values += v * vectors.stride;
  next.quantized += v * vectors.stride;
  next.scale += v;
  next.sum += v;
  return next;
}

template <class Element>
void multiply_floats(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
                     const float* bias, float* y, int64_t stride, float* scratch) {
  if (vectors.count <= MAX_MATVEC_VECTORS)
    matvec<Element>(m, first, last, vectors, bias, y, stride, scratch);
  else
    matmul<Element>(m, first, last, vectors, bias, y, stride, scratch);
}

void multiply_vectors(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
                      const float* bias, float* y, int64_t stride, float* scratch) {
  if (m.format == NumberFormat::float32)
    return multiply_floats<float>(m, first, last, vectors, bias, y, stride, scratch);
#if defined(WITH_AMX)
  // It takes sixteen at a time, in no more than the time of three or four of bfloat16 without it.
  if (vectors.count > 2 && m.format == NumberFormat::bfloat16)
    return multiply_bfloat16_amx(m, first, last, vectors, bias, y, stride, scratch);
  if (vectors.count > MAX_MATVEC_VECTORS && m.format == NumberFormat::int8)
    return multiply_int8_amx(m, first, last, vectors, bias, y, stride);
#endif
  if (m.format == NumberFormat::bfloat16)
    return multiply_floats<uint16_t>(m, first, last, vectors, bias, y, stride, scratch);
  multiply_int8(m, first, last, vectors, bias, y, stride);
}

void multiply(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
              const float* bias, float* y, int64_t stride, float* scratch,
              ScoreStatistics* statistics) {
  for (int64_t v = 0; v < vectors.count; v += MAX_VECTORS)
    multiply_vectors(m, first, last, next_vectors(vectors, v), bias, y + v * stride, stride,
                     scratch);
  for (int64_t v = 0; statistics && v < vectors.count; ++v)
    add_scores(y + v * stride, last - first, statistics[v]);
}

}  // namespace

#define TEXT_OF(name) #name
#define NAME_OF(name) TEXT_OF(name)
#define TABLE_OF(name) name##_kernels
#define TABLE(name) TABLE_OF(name)

const Kernels* TABLE(CAROUSEL_KERNELS)() {
  static const Kernels table = {NAME_OF(CAROUSEL_KERNELS), quantize,  multiply, update_cell,
                                update_reset_gate,         find_above};
  return &table;
}

}  // namespace carousel
