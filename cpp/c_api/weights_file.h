// The weights of a model in the bytes of a safetensors file, checked before they are believed. It
// mirrors storage/safetensors.py.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "carousel/aligned_buffer.h"
#include "carousel/model.h"
#include "config.h"

namespace carousel {

// A weight where it lies in the file.
struct StoredWeight {
  NumberFormat format = NumberFormat::float32;
  const void* data = nullptr;
  const float* scale = nullptr;  // [rows], int8 only
  bool tiled = false;
  int64_t rows = 0, columns = 1;

  // `count` rows from the first one on; not of tiles.
  StoredWeight slice(int64_t first, int64_t count) const;
  Weights weights() const;
  // A copy of a vector, padded as the kernels read it.
  std::vector<float> padded_vector() const;
};

struct WeightsFile {
  std::string_view header;                           // the bytes before the tensors
  std::map<std::string, StoredWeight> weights;       // by the names on disk, views of the bytes
  std::vector<AlignedBuffer<unsigned char>> copies;  // of tensors that lie where they can't be read
};

// Throws Error for anything in the file that differs from the configuration, values that are not
// finite too; `where` is what it calls the file.
WeightsFile read_weights(std::string_view bytes, const Config& config, const std::string& where);

}  // namespace carousel
