// A model's weights, as the kernels read them.
//
// Contract: arrays belong to the caller, who keeps them alive and unchanged as long as the model.
// Only what the kernels need in another layout is copied: scales, biases, and int8 rows into tiles.
#pragma once

#include <memory>
#include <vector>

#include "carousel/aligned_buffer.h"
#include "carousel/kernels.h"

namespace carousel {

// A matrix with what it needs beside the caller's array.
class Weights {
 public:
  Weights() = default;
  // Row-major float32 or bfloat16; used where it lies.
  Weights(NumberFormat format, const void* data, int64_t rows, int64_t columns);
  // Int8 with a scale a row: tiles are used where they lie, rows are copied into tiles.
  Weights(const int8_t* data, bool tiled, const float* scale, int64_t rows, int64_t columns);

  const Matrix& matrix() const { return matrix_; }
  int64_t rows() const { return matrix_.rows; }
  int64_t bytes() const;
  // One row in float32, `columns` of them.
  void copy_row(int64_t row, float* to) const;

 private:
  Matrix matrix_;
  AlignedBuffer<float> scale_;
  AlignedBuffer<int8_t> tiles_;
};

// A table of vectors to look up: as Weights, but int8 rows stay rows.
struct Embedding {
  bool in_decoder = false;  // tied to a decoder in tiles, whose rows are looked up instead
  NumberFormat format = NumberFormat::float32;
  const void* data = nullptr;
  const float* scale = nullptr;
  int64_t columns = 0;
  void copy_row(int64_t row, float* to) const;
};

struct Layer {
  Weights input, hidden;                                 // weight_ih [G*H, E], weight_hh [G*H, H]
  std::vector<float> input_bias, hidden_bias, peephole;  // padded; empty for none
};

// A cluster of an adaptive softmax (Grave et al., 2017).
struct Cluster {
  int64_t first = 0, last = 0;  // its words have the ids from first to before last
  Weights inner, outer;         // [size, P], [words, size]
};

// The token that ends a line, in every model.
constexpr int64_t END_OF_LINE_ID = 1;

struct Model {
  Cell cell = Cell::lstm;
  int64_t vocab_size = 0, hidden_size = 0;
  // If not, each line is a text of its own: before its end is read, the state becomes zero.
  bool carry_state = true;
  Embedding embedding;
  std::vector<Layer> layers;
  std::unique_ptr<Weights> projection;
  // The decoder, or the head of an adaptive one: its words, then one row for each cluster.
  Weights decoder;
  std::vector<float> decoder_bias;  // padded
  std::vector<Cluster> clusters;

  // The embedding of a token, in float32.
  void embed(int64_t token, float* to) const {
    embedding.in_decoder ? decoder.copy_row(token, to) : embedding.copy_row(token, to);
  }
  int64_t cluster_count() const { return static_cast<int64_t>(clusters.size()); }
  // Words whose scores are rows of the decoder itself: all, or those of an adaptive one's head.
  int64_t head_words() const { return decoder.rows() - cluster_count(); }
};

// What the cells consist of.
int64_t gate_count(Cell cell);   // rows of a weight / H
int64_t point_count(Cell cell);  // values that a trace may write
int64_t state_parts(Cell cell);  // 2 where there is a c beside h

}  // namespace carousel
