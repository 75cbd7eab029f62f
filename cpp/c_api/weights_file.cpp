#include "weights_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "error.h"
#include "strict_json.h"

namespace carousel {
namespace {

using nlohmann::json;

constexpr uint64_t LENGTH_BYTES = 8;  // before the header: how long it is
constexpr uint64_t MAX_HEADER_BYTES = 1 << 20;
constexpr int64_t MAX_INT8_COLUMNS = 1 << 17;  // whose products are sure to fit 32 bits
constexpr float MAX_WEIGHT = 1e15f;            // so that no product of weights and states overflows
constexpr float MAX_SCALE = static_cast<float>(1e15 / 127);
const char* const SCALE_SUFFIX = ".scale";

// A tensor of the file: what the configuration says, and where the header says it lies.
struct Tensor {
  NumberFormat format;
  Shape shape;
  uint64_t start = 0, end = 0;

  uint64_t bytes() const {
    uint64_t count = bytes_of(format);
    for (const int64_t size : shape) count *= size;  // at most 2^24 * 2^26 * 4
    return count;
  }
};

struct Header {
  json table;
  uint64_t data_start;
};

Header read_header(std::string_view bytes, const std::string& where) {
  uint64_t length = 0;
  if (bytes.size() >= LENGTH_BYTES) {
    for (uint64_t n = 0; n < LENGTH_BYTES; ++n)
      length |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[n])) << (8 * n);
  }
  if (length < 2 || length > MAX_HEADER_BYTES || length > bytes.size() - LENGTH_BYTES)
    refuse_model(where + " is not a safetensors file, or is cut short");
  json table = parse_json(bytes.substr(LENGTH_BYTES, length), where, MAX_HEADER_BYTES);
  if (!table.is_object())
    refuse_model(where + " is not a safetensors file: its header is no table");
  table.erase("__metadata__");
  return {std::move(table), LENGTH_BYTES + length};
}

bool in_tiles(const json& header, const std::string& name) {
  const auto entry = header.find(name);
  if (entry == header.end() || !entry->is_object()) return false;
  const auto shape = entry->find("shape");
  return shape != entry->end() && shape->is_array() && shape->size() == 4;
}

// The tensors that the file must hold, by name.
std::map<std::string, Tensor> expected_tensors(const Config& config, const json& header) {
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, shape] : config.weight_shapes()) {
    Tensor tensor{shape.size() == 2 ? config.dtype : NumberFormat::float32, shape};
    if (tensor.format == NumberFormat::int8) {
      tensors[name + SCALE_SUFFIX] = {NumberFormat::float32, {shape[0]}};
      if (config.may_be_tiled(name) && in_tiles(header, name))
        tensor.shape = {padded(shape[0]) / TILE_ROWS, padded(shape[1], TILE_COLUMNS) / TILE_COLUMNS,
                        TILE_ROWS, TILE_COLUMNS};
    }
    tensors[name] = tensor;
  }
  return tensors;
}

// Fills in where a tensor lies, after checking that the header describes what is expected.
void place(Tensor& tensor, const json& entry, const std::string& name, const std::string& where) {
  const char* const types[] = {"F32", "BF16", "I8"};
  if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") ||
      !entry.contains("shape") || !entry.contains("data_offsets"))
    refuse_model(where + ": " + name + " is not described as safetensors does");
  if (entry["dtype"] != types[static_cast<int>(tensor.format)])
    refuse_model(where + ": " + name + " is of another type than " +
                 types[static_cast<int>(tensor.format)]);
  if (entry["shape"] != json(tensor.shape))
    refuse_model(where + ": " + name + " has another shape than config.json says");
  const json& offsets = entry["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned() ||
      offsets[1].get<uint64_t>() - offsets[0].get<uint64_t>() != tensor.bytes() ||
      offsets[1].get<uint64_t>() < offsets[0].get<uint64_t>())
    refuse_model(where + ": " + name + " is not as long as its shape says");
  tensor.start = offsets[0].get<uint64_t>();
  tensor.end = offsets[1].get<uint64_t>();
}

void check_layout(const std::map<std::string, Tensor>& tensors, uint64_t bytes,
                  const std::string& where) {
  std::vector<std::pair<uint64_t, uint64_t>> spans;
  for (const auto& [name, tensor] : tensors) spans.emplace_back(tensor.start, tensor.end);
  std::sort(spans.begin(), spans.end());
  uint64_t end = 0;
  for (const auto& span : spans) {
    if (span.first != end) refuse_model(where + ": its tensors overlap or leave gaps");
    end = span.second;
  }
  if (bytes < end) refuse_model(where + " is cut short");
  if (bytes > end) refuse_model(where + " is longer than its tensors");
}

// What is wrong with the values of a tensor, or null.
const char* find_invalid_values(const Tensor& tensor, const void* data) {
  const int64_t count = static_cast<int64_t>(tensor.bytes()) / bytes_of(tensor.format);
  const char* const out_of_range = "a value that is not finite, or beyond 1e+15";
  bool valid = true;  // no loop ends early, so that each is fast
  switch (tensor.format) {
    case NumberFormat::float32:  // also not valid where a value is not a number
      for (int64_t k = 0; k < count; ++k)
        valid &= std::fabs(static_cast<const float*>(data)[k]) <= MAX_WEIGHT;
      return valid ? nullptr : out_of_range;
    case NumberFormat::bfloat16: {
      uint32_t most;
      std::memcpy(&most, &MAX_WEIGHT, sizeof most);
      for (int64_t k = 0; k < count; ++k)
        valid &= (static_cast<const uint16_t*>(data)[k] & 0x7fffu) <= most >> 16;
      return valid ? nullptr : out_of_range;
    }
    default:
      for (int64_t k = 0; k < count; ++k) valid &= static_cast<const int8_t*>(data)[k] != INT8_MIN;
      return valid ? nullptr : "the value -128";
  }
}

bool scales_are_valid(const float* scale, int64_t count) {
  // Also false where a scale is not a number.
  return std::all_of(scale, scale + count, [](float s) { return s > 0 && s <= MAX_SCALE; });
}

// The tensor's bytes, or a copy of them where the processor could not read them as they are.
const void* aligned(std::string_view data, const Tensor& tensor, WeightsFile& file) {
  const char* from = data.data() + tensor.start;
  if (reinterpret_cast<uintptr_t>(from) % bytes_of(tensor.format) == 0) return from;
  file.copies.emplace_back();
  unsigned char* copy = file.copies.back().grow(static_cast<int64_t>(tensor.bytes()));
  std::memcpy(copy, from, tensor.bytes());
  return copy;
}

}  // namespace

StoredWeight StoredWeight::slice(int64_t first, int64_t count) const {
  StoredWeight part = *this;
  part.rows = count;
  part.data = static_cast<const char*>(data) + first * columns * bytes_of(format);
  if (scale) part.scale = scale + first;
  return part;
}

Weights StoredWeight::weights() const {
  if (format == NumberFormat::int8)
    return {static_cast<const int8_t*>(data), tiled, scale, rows, columns};
  return {format, data, rows, columns};
}

std::vector<float> StoredWeight::padded_vector() const {
  std::vector<float> copy(padded(rows) + TILE_ROWS);
  std::copy_n(static_cast<const float*>(data), rows, copy.begin());
  return copy;
}

WeightsFile read_weights(std::string_view bytes, const Config& config, const std::string& where) {
  const Header header = read_header(bytes, where);
  std::map<std::string, Tensor> tensors = expected_tensors(config, header.table);
  for (auto& [name, tensor] : tensors) {
    const auto entry = header.table.find(name);
    if (entry == header.table.end()) refuse_model(where + " lacks " + name);
    place(tensor, *entry, name, where);
  }
  if (header.table.size() != tensors.size())
    refuse_model(where + " holds tensors that config.json does not");
  const std::string_view data = bytes.substr(header.data_start);
  check_layout(tensors, data.size(), where);

  WeightsFile file;
  file.header = bytes.substr(0, header.data_start);
  for (const auto& [name, shape] : config.weight_shapes()) {
    const Tensor& tensor = tensors.at(name);
    StoredWeight weight{tensor.format, aligned(data, tensor, file)};
    if (const char* problem = find_invalid_values(tensor, weight.data))
      refuse_model(where + ": " + name + " holds " + problem);
    weight.rows = shape[0];
    if (shape.size() == 2) weight.columns = shape[1];
    weight.tiled = tensor.shape.size() == 4;
    if (tensor.format == NumberFormat::int8) {
      if (weight.columns > MAX_INT8_COLUMNS)
        refuse_model(where + ": " + name + " is too wide for int8 products");
      weight.scale =
          static_cast<const float*>(aligned(data, tensors.at(name + SCALE_SUFFIX), file));
      if (!scales_are_valid(weight.scale, weight.rows))
        refuse_model(where + ": " + name +
                     " holds a scale that is not positive and finite, or beyond 8e+12");
    }
    file.weights[name] = weight;
  }
  return file;
}

}  // namespace carousel
