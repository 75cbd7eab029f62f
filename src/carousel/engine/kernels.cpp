// The kernels: products, gates and what decoding needs, for one instruction set.
//
// This file is compiled once for each instruction set, with the compiler's flags for it and with
// CAROUSEL_KERNELS naming the table it fills. Float arithmetic is written once, on the vector type
// of GCC and Clang, as wide as the machine's registers; only int8 products and the matrix unit have
// lines of their own. Everything but the table is private to the object (and nothing inline comes
// from the standard library): code compiled for a newer processor must not be shared with the others.

#include "kernels.h"

#include "kernels/gates.h"
#include "kernels/int8.h"
#include "kernels/lanes.h"
#include "kernels/rows.h"
#include "kernels/scores.h"
#if defined(WITH_AMX)
#include "kernels/amx.h"
#endif

namespace carousel {
namespace {

// As many vectors from `v` on as are multiplied together.
inline Vectors many_of(const Vectors& vectors, int64_t v) {
  Vectors some = vectors;
  some.count = vectors.count - v < MANY ? vectors.count - v : MANY;
  some.values += v * vectors.stride;
  some.bytes += v * vectors.stride;
  some.scale += v;
  some.sum += v;
  return some;
}

template <class Element>
void product_floats(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
                    const float* bias, float* y, int64_t stride, float* space) {
  if (vectors.count <= FEW)
    product_rows<Element>(m, first, last, vectors, bias, y, stride, space);
  else
    product_lanes<Element>(m, first, last, vectors, bias, y, stride, space);
}

void product_of_many(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
                     const float* bias, float* y, int64_t stride, float* space) {
  if (m.format == Format::float32)
    return product_floats<float>(m, first, last, vectors, bias, y, stride, space);
#if defined(WITH_AMX)
  // It takes sixteen at a time, in no more than the time of three or four of bfloat16 without it.
  if (vectors.count > 2 && m.format == Format::bfloat16)
    return product_halves(m, first, last, vectors, bias, y, stride, space);
  if (vectors.count > FEW && m.format == Format::int8)
    return product_tiles(m, first, last, vectors, bias, y, stride);
#endif
  if (m.format == Format::bfloat16)
    return product_floats<uint16_t>(m, first, last, vectors, bias, y, stride, space);
  product_int8(m, first, last, vectors, bias, y, stride);
}

void product(const Matrix& m, int64_t first, int64_t last, const Vectors& vectors,
             const float* bias, float* y, int64_t stride, float* space, Tally* tallies) {
  for (int64_t v = 0; v < vectors.count; v += MANY)
    product_of_many(m, first, last, many_of(vectors, v), bias, y + v * stride, stride, space);
  for (int64_t v = 0; tallies && v < vectors.count; ++v) {
    tallies[v].found = 0;
    add(y + v * stride, last - first, tallies[v]);
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