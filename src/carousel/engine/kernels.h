// What the kernels work on, and the table through which the engine calls them.
//
// kernels.cpp is compiled once for each instruction set; each of its objects fills in one table.
#pragma once

#include <cstdint>

namespace carousel {

constexpr int64_t TILE = 16;  // rows of an int8 tile, and what every buffer is padded to
constexpr int64_t DEPTH = 4;  // columns of an int8 tile

constexpr int64_t padded(int64_t n, int64_t unit = TILE) { return (n + unit - 1) / unit * unit; }

constexpr int64_t FEW = 8;       // vectors for which rows are read as they lie
constexpr int64_t MANY = 64;     // vectors that are multiplied together, at most
constexpr int64_t DEEP = 128;    // columns of 16 rows that fit the first cache beside many vectors'
constexpr int64_t CHUNK = 1024;  // rows whose scores are held at a time, at most

// The floats that a product needs to work: copies of some rows, and of its vectors.
constexpr int64_t space_for(int64_t columns) {
  return TILE * DEEP + 2 * MANY * padded(columns, 32);
}

enum class Format { float32, bfloat16, int8 };

// A matrix [rows, columns]. Float32 and bfloat16 lie row by row. Int8 lies in tiles of 16 rows by
// 4 columns, [rows / 16, columns / 4, 16, 4] with zeros around, so that one running read feeds 16
// dot products whose sums need no shuffling at the end; row n stands for values * scale[n].
struct Matrix {
  Format format = Format::float32;
  const void* data = nullptr;
  const float* scale = nullptr;  // [padded(rows)], int8 only
  int64_t rows = 0, columns = 0;
};

// Vectors to be multiplied. Each is padded with zeros to a multiple of 16 elements.
struct Vectors {
  int64_t count = 0;
  int64_t stride = 0;  // elements from one vector to the next, of values and of bytes
  const float* values = nullptr;
  // For int8 matrices: the same in int8, with the scale and the sum of each vector.
  const int8_t* bytes = nullptr;
  const float* scale = nullptr;
  const int32_t* sum = nullptr;
};

// What is kept of one vector's scores while they pass: enough for their normaliser, and for the best
// of them.
struct Tally {
  float largest = -__builtin_inff();
  double sums[TILE] = {};  // of exp(score - largest), each from some of the rows
  float fault = 0;         // NaN once a score was not finite
  float bar = __builtin_inff();
  int64_t found = 0;       // of one product: the places, in order, where scores are above the bar
  int32_t places[CHUNK];
};

// The pointwise half of a step, of one session and layer. Buffers are padded to a multiple of 16
// floats, and up to there may be read and written.
enum class Cell { rnn, gru, gru_reset_before, lstm, cifg };

constexpr int MOST_POINTS = 6;

// Where gates and states are written and clamped, by their place in the order of the equations:
// i, f, g, c, o, h for LSTMs; r, z, n, h for GRUs; h for RNNs.
struct Watch {
  float* out[MOST_POINTS];           // null: it is not written
  const float* scale[MOST_POINTS];   // a clamp: value' = scale * value + offset; null for none
  const float* offset[MOST_POINTS];
};

struct Update {
  Cell cell;
  int64_t size;              // H
  const float* x;            // W x + b_ih, gate after gate
  const float* r;            // R h + b_hh, gate after gate
  const float* h;            // before
  const float* c;            // before
  const float* peephole;     // gate after gate in the order i, f, o; null for none
  float* h_out;              // may be h itself
  float* c_out;              // may be c itself
  float* reset;              // GRU with the reset first: r ⊙ h
  float* keep;               // and z
  const Watch* watch;        // null: nothing is watched
};

struct Kernels {
  const char* name;
  // Float32 to int8: the scale is the largest magnitude / 127, and 0 for a vector of zeros.
  void (*quantize)(const float* x, int64_t size, int8_t* bytes, float* scale, int32_t* sum);
  // Rows first to last (multiples of 16, or the end) times every vector:
  // y[v * stride + row - first] = matrix[row] · vectors[v] + bias[row]. The rows written are
  // padded to a multiple of 16, and so is `bias`, which may be null. `space` is as large as space_for says. Where
  // there are tallies, one a vector, the scores go into them while they are in a cache; then there may
  // be at most CHUNK rows.
  void (*product)(const Matrix& matrix, int64_t first, int64_t last, const Vectors& vectors,
                  const float* bias, float* y, int64_t stride, float* space, Tally* tallies);
  void (*update)(const Update& step);
  // GRU with the reset first, whose product stands in the middle: r and z, then n and h.
  void (*reset)(const Update& step);
  // The places where x is above the bound, in order; returns how many.
  int64_t (*above)(const float* x, int64_t size, float bound, int32_t* places);
};

// Each is null where its instruction set is not for this processor's family.
const Kernels* plain_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
const Kernels* vnni_kernels();
const Kernels* amx_kernels();
const Kernels* neon_kernels();
const Kernels* dotprod_kernels();

}  // namespace carousel
