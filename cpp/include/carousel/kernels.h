// What the kernels work on, and the table of functions through which the engine calls them.
//
// Contract: kernels/kernels.cpp is compiled once for each instruction set, and each of its objects
// fills in one table. Kernels allocate nothing, throw nothing and hold no state. Buffers for floats
// are padded: up to the next multiple of TILE_ROWS elements they may be read and written.
#pragma once

#include <cstdint>

namespace carousel {

constexpr int64_t TILE_ROWS = 16;    // rows of an int8 tile, and what buffers are padded to
constexpr int64_t TILE_COLUMNS = 4;  // columns of an int8 tile

constexpr int64_t padded(int64_t count, int64_t unit = TILE_ROWS) {
  return (count + unit - 1) / unit * unit;
}

constexpr int64_t MAX_MATVEC_VECTORS = 8;  // for so many vectors rows are read where they lie
constexpr int64_t MAX_VECTORS = 64;        // vectors that are multiplied together
constexpr int64_t BLOCK_COLUMNS = 128;  // columns of 16 rows that fit the first cache with vectors
constexpr int64_t MAX_SCORES = 1024;    // scores of one vector that are held at a time

// Floats that `multiply` needs as scratch memory: copies of some rows, and of its vectors.
constexpr int64_t scratch_size(int64_t columns) {
  return TILE_ROWS * BLOCK_COLUMNS + 2 * MAX_VECTORS * padded(columns, 32);
}

enum class NumberFormat { float32, bfloat16, int8 };

constexpr int64_t bytes_of(NumberFormat format) {
  return format == NumberFormat::float32 ? 4 : format == NumberFormat::bfloat16 ? 2 : 1;
}

// A matrix [rows, columns]. Float32 and bfloat16 lie row by row. Int8 lies in tiles of 16 rows by
// 4 columns, [rows / 16, columns / 4, 16, 4] with zeros around, so that one running read feeds 16
// dot products whose sums need no shuffling at the end; row n stands for values * scale[n].
struct Matrix {
  NumberFormat format = NumberFormat::float32;
  const void* data = nullptr;
  const float* scale = nullptr;  // [padded(rows)], int8 only
  int64_t rows = 0, columns = 0;
};

// Vectors to be multiplied, a view. Each is padded with zeros to a multiple of 16 elements.
struct Vectors {
  int64_t count = 0;
  int64_t stride = 0;  // elements from one vector to the next, of float and of int8 values
  const float* values = nullptr;
  // For int8 matrices: the same values in int8, with the scale and the sum of each vector.
  const int8_t* quantized = nullptr;
  const float* scale = nullptr;
  const int32_t* sum = nullptr;
};

// Running statistics of one vector's scores: enough for the softmax's normalizer, and for the best
// words.
struct ScoreStatistics {
  float max = -__builtin_inff();
  double exp_sums[TILE_ROWS] = {};  // of exp(score - max), each from some of the rows
  float nan_marker = 0;             // NaN once a score was not finite
  float threshold = __builtin_inff();
  int64_t candidate_count = 0;     // of one product: how many scores are above the threshold,
  int32_t candidates[MAX_SCORES];  // and their indices, in order
};

enum class Cell { rnn, gru, gru_reset_before, lstm, cifg };

constexpr int MAX_POINTS = 6;

// Where the gates and states of one session, layer and token are written, and their clamps, by
// their place in the order of the equations: i, f, g, c, o, h for LSTMs; r, z, n, h for GRUs; h for
// RNNs.
struct PointBuffers {
  float* out[MAX_POINTS];          // null: not written
  const float* scale[MAX_POINTS];  // value' = scale * value + offset; null: not clamped
  const float* offset[MAX_POINTS];
};

// The pointwise half of one step, of one session and layer.
struct CellStep {
  Cell cell;
  int64_t hidden_size;         // H
  const float* from_input;     // W x + b_ih, gate after gate
  const float* from_hidden;    // R h + b_hh, gate after gate
  const float* h;              // before the step
  const float* c;              // before the step
  const float* peephole;       // gate after gate in the order i, f, o; null for none
  float* h_out;                // may be h itself
  float* c_out;                // may be c itself
  float* reset_h;              // GRU with the reset before the product: r ⊙ h
  float* update_gate;          // and z
  const PointBuffers* points;  // null: nothing is written or clamped
};

struct Kernels {
  const char* name;
  // Float32 to int8: the scale is the largest magnitude / 127, and 0 for a vector of zeros.
  void (*quantize)(const float* x, int64_t size, int8_t* quantized, float* scale, int32_t* sum);
  // Rows first to last (multiples of 16, or the end) times every vector:
  // y[v * stride + row - first] = matrix[row] · vectors[v] + bias[row]. The rows written are padded
  // to a multiple of 16, and so is `bias`, which may be null. `scratch` is as large as scratch_size
  // says. If `statistics` is not null, there is one for each vector, and the scores are added to it
  // while they are in a cache; then there may be at most MAX_SCORES rows.
  void (*multiply)(const Matrix& matrix, int64_t first, int64_t last, const Vectors& vectors,
                   const float* bias, float* y, int64_t stride, float* scratch,
                   ScoreStatistics* statistics);
  void (*update_cell)(const CellStep& step);
  // A GRU with the reset before the product: r and z here, then n and h in update_cell.
  void (*update_reset_gate)(const CellStep& step);
  // The indices of the values above the threshold, in order; returns how many.
  int64_t (*find_above)(const float* x, int64_t size, float threshold, int32_t* indices);
};

// Each is defined only where its instruction set is for this processor's family.
const Kernels* plain_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
const Kernels* vnni_kernels();
const Kernels* amx_kernels();
const Kernels* neon_kernels();
const Kernels* dotprod_kernels();

}  // namespace carousel
