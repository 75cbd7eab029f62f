// A model from what Python gives: sizes, and weights as arrays.
#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <vector>

#include "carousel/model.h"

namespace carousel {

struct ModelArguments {
  std::string cell;            // as cells.py names it
  std::vector<int64_t> sizes;  // V, E, H, P
  nanobind::object embedding;
  nanobind::list layers;        // (weight_ih, weight_hh, bias_ih, bias_hh, weight_ch) each
  nanobind::object projection;  // or None
  nanobind::object decoder;     // or None: tied to the embedding
  nanobind::object decoder_bias;
  nanobind::list clusters;  // (first id, last id, tail.0.weight, tail.1.weight) each
  bool carry_state;         // over the end of a line
};

// Checks all of it. A matrix is an array of float32, or of uint16 for bfloat16, or a pair of int8
// values, by rows or in tiles, and scales. Whoever's memory the model reads is appended to
// `owners`.
Model make_model(const ModelArguments& arguments, nanobind::list& owners);

}  // namespace carousel
