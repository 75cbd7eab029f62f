#include "engine.h"

#include <algorithm>
#include <cstring>

namespace carousel {
namespace {

float widen(uint16_t bfloat16) {
  const uint32_t bits = static_cast<uint32_t>(bfloat16) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace

Weights::Weights(Format format, const void* data, int64_t rows, int64_t columns)
    : matrix_{format, data, nullptr, rows, columns} {}

Weights::Weights(const int8_t* data, bool tiled, const float* scale, int64_t rows, int64_t columns)
    : matrix_{Format::int8, data, nullptr, rows, columns} {
  float* scales = scale_.grow(padded(rows));
  std::copy(scale, scale + rows, scales);
  std::fill(scales + rows, scales + padded(rows), 0.0f);
  matrix_.scale = scales;
  if (tiled) return;
  const int64_t wide = padded(columns, DEPTH);
  int8_t* tiles = tiles_.grow(padded(rows) * wide);
  if (rows % TILE || columns % DEPTH) std::memset(tiles, 0, padded(rows) * wide);
  for (int64_t row = 0; row < rows; ++row) {
    int8_t* to = tiles + row / TILE * TILE * wide + row % TILE * DEPTH;
    const int8_t* from = data + row * columns;
    int64_t k = 0;
    for (; k + DEPTH <= columns; k += DEPTH) std::memcpy(to + k * TILE, from + k, DEPTH);
    std::memcpy(to + k * TILE, from + k, columns - k);
  }
  matrix_.data = tiles;
}

int64_t Weights::bytes() const {
  const Matrix& m = matrix_;
  if (m.format == Format::int8) return m.rows * (m.columns + static_cast<int64_t>(sizeof(float)));
  return m.rows * m.columns * (m.format == Format::float32 ? 4 : 2);
}

void Weights::row(int64_t row, float* to) const {
  const Matrix& m = matrix_;
  if (m.format != Format::int8) return Embedding{nullptr, m.format, m.data, nullptr, m.columns}.row(row, to);
  const int8_t* from = static_cast<const int8_t*>(m.data) +
                       row / TILE * TILE * padded(m.columns, DEPTH) + row % TILE * DEPTH;
  for (int64_t k = 0; k < m.columns; ++k)
    to[k] = from[k / DEPTH * DEPTH * TILE + k % DEPTH] * m.scale[row];
}

void Embedding::row(int64_t row, float* to) const {
  if (shared) return shared->row(row, to);
  switch (format) {
    case Format::float32:
      std::memcpy(to, static_cast<const float*>(data) + row * columns, columns * sizeof(float));
      return;
    case Format::bfloat16: {
      const uint16_t* from = static_cast<const uint16_t*>(data) + row * columns;
      for (int64_t k = 0; k < columns; ++k) to[k] = widen(from[k]);
      return;
    }
    case Format::int8: {
      const int8_t* from = static_cast<const int8_t*>(data) + row * columns;
      for (int64_t k = 0; k < columns; ++k) to[k] = from[k] * scale[row];
    }
  }
}

}  // namespace carousel
