// What engine.cpp and decoding.cpp share: the memory of one call, and the coarser decoder.
#pragma once

#include <cstring>

#include "engine.h"

namespace carousel {

// Memory of one thread: what a product needs to work, and the scores of a chunk.
inline float* work_space(int64_t columns) {
  thread_local Buffer<float> buffer;
  return buffer.grow(space_for(columns));
}

inline float* chunk_of_scores(int64_t count) {
  thread_local Buffer<float> buffer;
  return buffer.grow(count);
}

// Vectors with what int8 matrices need of them.
struct Lines {
  int64_t size = 0, stride = 0;
  Buffer<float> values, scale;
  Buffer<int8_t> bytes;
  Buffer<int32_t> sum;

  void shape(int64_t count, int64_t size_) {
    size = size_;
    stride = padded(size);
    values.grow(count * stride + TILE);
    bytes.grow(count * stride + TILE);
    scale.grow(count);
    sum.grow(count);
  }
  float* at(int64_t v) { return values.get() + v * stride; }
  // To be called when vector `v` has been written, and before it is multiplied.
  void seal(const Kernels& kernels, int64_t v, bool int8) {
    std::memset(at(v) + size, 0, (stride - size) * sizeof(float));
    if (int8) {
      kernels.quantize(at(v), stride, bytes.get() + v * stride, scale.get() + v, sum.get() + v);
    }
  }
  Vectors vectors(int64_t first, int64_t count) const {
    return {count,
            stride,
            values.get() + first * stride,
            bytes.get() + first * stride,
            scale.get() + first,
            sum.get() + first};
  }
};

struct Space {
  Lines x, y;                            // what goes into a layer, and what comes out
  std::vector<Lines> h;                  // per layer, of every session
  std::vector<Buffer<float>> c;          // per layer, [B, padded(H)]
  Buffer<float> from_x, from_h;          // W x + b of a block of words, R h + b of one
  Buffer<float> keep;                    // z of a GRU with the reset first
  Lines reset;                           // and r ⊙ h
  Buffer<float> points, scales, offsets;  // of one layer and word, [B, points, padded(H)] each
  std::vector<Watch> watches;             // and where they are, by session
  Lines read;                            // what the decoder gets
  Lines small;                           // what a cluster gets
};

// A coarser decoder in int8, and how far each of its rows is from the true one: rows that can't
// be among the best by it need not be read.
struct Engine::Screen {
  std::unique_ptr<Weights> rows;
  std::vector<float> error, norm;  // Euclidean norms, rounded up: of the difference, of the row
};

}  // namespace carousel
