#include "model_arguments.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "array_arguments.h"

namespace carousel {
namespace {

constexpr int64_t MAX_SIZE = 1 << 24;
constexpr int64_t MAX_INT8_COLUMNS = 1 << 17;  // whose products are sure to fit 32 bits
constexpr size_t MAX_LAYERS = 64;

// A matrix that was checked, where Python holds it.
struct MatrixArgument {
  NumberFormat format;
  const void* data = nullptr;
  const float* scale = nullptr;
  bool tiled = false;
  int64_t rows, columns;

  Weights weights() const {
    if (format == NumberFormat::int8)
      return {static_cast<const int8_t*>(data), tiled, scale, rows, columns};
    return {format, data, rows, columns};
  }
};

// As storage/number_formats.py has them: below, no sum of products of weights and states overflows.
constexpr float MAX_WEIGHT = 1e15f;
constexpr float MAX_SCALE = static_cast<float>(1e15 / 127);

uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

[[noreturn]] void refuse_weight(const char* name) {
  refuse(std::string(name) + " holds a value that is not finite, or beyond 1e+15");
}

void check_weights(const float* values, int64_t count, const char* name, float most = MAX_WEIGHT) {
  const uint32_t limit = bits_of(most);
  uint32_t any_bad = 0;  // positive numbers have the order of their bits, and NaN is beyond all
  for (int64_t k = 0; k < count; ++k) any_bad |= limit - (bits_of(values[k]) & 0x7fffffffu);
  if (any_bad & 0x80000000u) refuse_weight(name);
}

// The same of bfloat16: the upper half of a float.
void check_weights(const uint16_t* values, int64_t count, const char* name) {
  const uint32_t limit = bits_of(MAX_WEIGHT) >> 16;
  uint32_t any_bad = 0;
  for (int64_t k = 0; k < count; ++k) any_bad |= limit - (values[k] & 0x7fffu);
  if (any_bad & 0x80000000u) refuse_weight(name);
}

MatrixArgument check_int8_matrix(const nb::tuple& pair, const char* name, int64_t rows,
                                 int64_t columns) {
  if (pair.size() != 2) refuse(std::string(name) + " must be values and scales");
  const Array values = cast<Array>(pair[0], name), scale = cast<Array>(pair[1], name);
  if (scale.ndim() != 1) refuse(std::string(name) + " must have one scale a row");
  if (rows < 0) rows = static_cast<int64_t>(scale.shape(0));
  if (rows < 1 || columns > MAX_INT8_COLUMNS)
    refuse(std::string(name) + " is too wide for int8 products, or empty");
  MatrixArgument matrix{NumberFormat::int8, nullptr, nullptr, values.ndim() == 4, rows, columns};
  std::vector<int64_t> shape = {rows, columns};
  if (matrix.tiled)
    shape = {padded(rows) / TILE_ROWS, padded(columns, TILE_COLUMNS) / TILE_COLUMNS, TILE_ROWS,
             TILE_COLUMNS};
  matrix.data = checked<int8_t>(values, name, shape);
  matrix.scale = checked<float>(scale, name, {rows});
  check_weights(matrix.scale, rows, name, MAX_SCALE);
  return matrix;
}

// Rows may be -1 for any number.
MatrixArgument check_matrix(nb::handle object, const char* name, int64_t rows, int64_t columns,
                            nb::list& owners) {
  owners.append(object);
  if (nb::isinstance<nb::tuple>(object))
    return check_int8_matrix(cast<nb::tuple>(object, name), name, rows, columns);
  const Array array = cast<Array>(object, name);
  if (array.ndim() != 2) refuse(std::string(name) + " must have two axes");
  if (rows < 0) rows = static_cast<int64_t>(array.shape(0));
  if (rows < 1) refuse(std::string(name) + " is empty");
  MatrixArgument matrix{NumberFormat::float32, nullptr, nullptr, false, rows, columns};
  if (array.dtype() == nb::dtype<uint16_t>()) {
    matrix.format = NumberFormat::bfloat16;
    const auto* data = checked<uint16_t>(array, name, {rows, columns});
    check_weights(data, rows * columns, name);
    matrix.data = data;
  } else {
    const auto* data = checked<float>(array, name, {rows, columns});
    check_weights(data, rows * columns, name);
    matrix.data = data;
  }
  return matrix;
}

// A padded copy; empty for None.
std::vector<float> copy_vector(nb::handle object, const char* name, int64_t size) {
  if (object.is_none()) return {};
  const float* from = checked<float>(cast<Array>(object, name), name, {size});
  std::vector<float> copy(padded(size) + TILE_ROWS);
  std::copy(from, from + size, copy.begin());
  check_weights(copy.data(), size, name);
  return copy;
}

Cell find_cell(const std::string& name) {
  const std::vector<std::pair<std::string, Cell>> cells = {
      {"rnn", Cell::rnn},
      {"gru", Cell::gru},
      {"gru-reset-before", Cell::gru_reset_before},
      {"lstm", Cell::lstm},
      {"cifg", Cell::cifg},
      {"lstm-peephole", Cell::lstm},
      {"cifg-peephole", Cell::cifg}};
  for (const auto& [known, cell] : cells)
    if (known == name) return cell;
  refuse("no such cell: " + name);
}

Layer make_layer(nb::handle object, Cell cell, bool peephole, int64_t input_size,
                 int64_t hidden_size, nb::list& owners) {
  const nb::tuple weights = cast<nb::tuple>(object, "a layer");
  if (weights.size() != 5) refuse("a layer has five weights");
  const int64_t gates = gate_count(cell), H = hidden_size;
  Layer layer;
  layer.input = check_matrix(weights[0], "weight_ih", gates * H, input_size, owners).weights();
  layer.hidden = check_matrix(weights[1], "weight_hh", gates * H, H, owners).weights();
  layer.input_bias = copy_vector(weights[2], "bias_ih", gates * H);
  layer.hidden_bias = copy_vector(weights[3], "bias_hh", gates * H);
  layer.peephole = copy_vector(weights[4], "weight_ch", (gates - 1) * H);
  if (layer.peephole.empty() == peephole) refuse("peepholes belong to peephole cells, and only");
  return layer;
}

std::vector<Cluster> make_clusters(const nb::list& objects, int64_t vocab_size,
                                   int64_t decoder_width, nb::list& owners) {
  const char* const order = "clusters must follow each other up to the last word";
  std::vector<Cluster> clusters;
  for (nb::handle object : objects) {
    const nb::tuple parts = cast<nb::tuple>(object, "a cluster");
    if (parts.size() != 4) refuse("a cluster has two bounds and two weights");
    Cluster cluster;
    cluster.first = cast<int64_t>(parts[0], "a bound");
    cluster.last = cast<int64_t>(parts[1], "a bound");
    const int64_t start = clusters.empty() ? cluster.first : clusters.back().last;
    if (cluster.first < 1 || cluster.first != start || cluster.last <= cluster.first ||
        cluster.last > vocab_size)
      refuse(order);
    cluster.inner = check_matrix(parts[2], "tail.0.weight", -1, decoder_width, owners).weights();
    cluster.outer = check_matrix(parts[3], "tail.1.weight", cluster.last - cluster.first,
                                 cluster.inner.rows(), owners)
                        .weights();
    clusters.push_back(std::move(cluster));
  }
  if (!clusters.empty() && clusters.back().last != vocab_size) refuse(order);
  return clusters;
}

}  // namespace

Model make_model(const ModelArguments& arguments, nb::list& owners) {
  if (arguments.sizes.size() != 4) refuse("four sizes are expected");
  for (const int64_t size : arguments.sizes)
    if (size < 1 || size > MAX_SIZE) refuse("sizes must be 1 to " + std::to_string(MAX_SIZE));
  const int64_t V = arguments.sizes[0], E = arguments.sizes[1];
  const int64_t H = arguments.sizes[2], P = arguments.sizes[3];
  if (arguments.layers.size() < 1 || arguments.layers.size() > MAX_LAYERS)
    refuse("there must be 1 to " + std::to_string(MAX_LAYERS) + " layers");
  Model model;
  model.cell = find_cell(arguments.cell);
  model.vocab_size = V;
  model.hidden_size = H;
  model.carry_state = arguments.carry_state;
  const bool peephole = arguments.cell.find("peephole") != std::string::npos;
  for (nb::handle layer : arguments.layers)
    model.layers.push_back(
        make_layer(layer, model.cell, peephole, model.layers.empty() ? E : H, H, owners));
  if (!arguments.projection.is_none())
    model.projection = std::make_unique<Weights>(
        check_matrix(arguments.projection, "projection.weight", P, H, owners).weights());
  else if (P != H)
    refuse("without a projection the decoder reads hidden_size values");
  model.clusters = make_clusters(arguments.clusters, V, P, owners);

  const bool tied = arguments.decoder.is_none();
  if (tied && (P != E || model.cluster_count()))
    refuse("a tied decoder reads embedding_size values");
  const int64_t head_words = model.clusters.empty() ? V : model.clusters.front().first;
  const int64_t decoder_rows = head_words + model.cluster_count();
  model.decoder = check_matrix(tied ? arguments.embedding : arguments.decoder, "decoder.weight",
                               decoder_rows, P, owners)
                      .weights();
  model.decoder_bias = copy_vector(arguments.decoder_bias, "decoder.bias", decoder_rows);
  if (model.decoder_bias.empty()) refuse("decoder.bias is missing");
  const MatrixArgument table = check_matrix(arguments.embedding, "embedding.weight", V, E, owners);
  if (table.tiled && !tied) refuse("the embedding must lie row by row");
  model.embedding = {table.tiled, table.format, table.data, table.scale, E};
  return model;
}

}  // namespace carousel
