// The configuration of a model: which cell, and how wide everything is (config.json). It mirrors
// storage/config.py.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "carousel/kernels.h"

namespace carousel {

using Shape = std::vector<int64_t>;

// The SHA-256 of the other files of the folder, in hexadecimal digits; empty in older folders.
struct Hashes {
  std::string weights_header, tokenizer;
};

struct Config {
  Cell cell;
  bool peephole, tied, biases;
  int64_t vocab_size, embedding_size, hidden_size, layers, projection_size;
  NumberFormat dtype = NumberFormat::float32;
  std::vector<int64_t> cutoffs, tail_sizes;
  // Whether the state is carried over the end of a line. If not, it is set to zero before each.
  bool carry_state = true;
  Hashes hashes;

  // Throws Error for what is not JSON, of another format, or with a field missing, unknown or out
  // of its range; `where` is what it calls the file.
  static Config from_json(std::string_view text, const std::string& where);

  int64_t decoder_width() const { return projection_size ? projection_size : hidden_size; }
  int64_t cluster_count() const { return static_cast<int64_t>(cutoffs.size()); }
  // The first id after the cluster.
  int64_t cluster_end(int64_t cluster) const {
    return cluster + 1 < cluster_count() ? cutoffs[cluster + 1] : vocab_size;
  }
  // The shape of every weight, by the name it has on disk.
  std::map<std::string, Shape> weight_shapes() const;
  // Whether the int8 matrix is multiplied as a whole, so that it may lie in tiles.
  bool may_be_tiled(const std::string& name) const;
};

}  // namespace carousel
