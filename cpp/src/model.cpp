#include "carousel/model.h"

#include <algorithm>
#include <cstring>

namespace carousel {
namespace {

float to_float32(uint16_t bfloat16) {
  const uint32_t bits = static_cast<uint32_t>(bfloat16) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace

Weights::Weights(NumberFormat format, const void* data, int64_t rows, int64_t columns)
    : matrix_{format, data, nullptr, rows, columns} {}

Weights::Weights(const int8_t* data, bool tiled, const float* scale, int64_t rows, int64_t columns)
    : matrix_{NumberFormat::int8, data, nullptr, rows, columns} {
  float* scales = scale_.grow(padded(rows));
  std::copy(scale, scale + rows, scales);
  std::fill(scales + rows, scales + padded(rows), 0.0f);
  matrix_.scale = scales;
  if (tiled) return;
  const int64_t wide = padded(columns, TILE_COLUMNS);
  int8_t* tiles = tiles_.grow(padded(rows) * wide);
  if (rows % TILE_ROWS || columns % TILE_COLUMNS) std::memset(tiles, 0, padded(rows) * wide);
  for (int64_t row = 0; row < rows; ++row) {
    int8_t* to = tiles + row / TILE_ROWS * TILE_ROWS * wide + row % TILE_ROWS * TILE_COLUMNS;
    const int8_t* from = data + row * columns;
    int64_t k = 0;
    for (; k + TILE_COLUMNS <= columns; k += TILE_COLUMNS)
      std::memcpy(to + k * TILE_ROWS, from + k, TILE_COLUMNS);
    std::memcpy(to + k * TILE_ROWS, from + k, columns - k);
  }
  matrix_.data = tiles;
}

int64_t Weights::bytes() const {
  const Matrix& m = matrix_;
  if (m.format == NumberFormat::int8)
    return m.rows * (m.columns + static_cast<int64_t>(sizeof(float)));
  return m.rows * m.columns * bytes_of(m.format);
}

void Weights::copy_row(int64_t row, float* to) const {
  const Matrix& m = matrix_;
  if (m.format != NumberFormat::int8)
    return Embedding{false, m.format, m.data, nullptr, m.columns}.copy_row(row, to);
  const int8_t* from = static_cast<const int8_t*>(m.data) +
                       row / TILE_ROWS * TILE_ROWS * padded(m.columns, TILE_COLUMNS) +
                       row % TILE_ROWS * TILE_COLUMNS;
  for (int64_t k = 0; k < m.columns; ++k)
    to[k] = from[k / TILE_COLUMNS * TILE_COLUMNS * TILE_ROWS + k % TILE_COLUMNS] * m.scale[row];
}

void Embedding::copy_row(int64_t row, float* to) const {
  switch (format) {
    case NumberFormat::float32:
      std::memcpy(to, static_cast<const float*>(data) + row * columns, columns * sizeof(float));
      return;
    case NumberFormat::bfloat16: {
      const uint16_t* from = static_cast<const uint16_t*>(data) + row * columns;
      for (int64_t k = 0; k < columns; ++k) to[k] = to_float32(from[k]);
      return;
    }
    case NumberFormat::int8: {
      const int8_t* from = static_cast<const int8_t*>(data) + row * columns;
      for (int64_t k = 0; k < columns; ++k) to[k] = from[k] * scale[row];
    }
  }
}

int64_t gate_count(Cell cell) {
  switch (cell) {
    case Cell::rnn: return 1;
    case Cell::lstm: return 4;
    default: return 3;
  }
}

int64_t point_count(Cell cell) {
  switch (cell) {
    case Cell::rnn: return 1;
    case Cell::gru:
    case Cell::gru_reset_before: return 4;
    default: return 6;
  }
}

int64_t state_parts(Cell cell) { return cell == Cell::lstm || cell == Cell::cifg ? 2 : 1; }

}  // namespace carousel
