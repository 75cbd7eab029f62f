#include "config.h"

#include <utility>

#include "carousel/model.h"
#include "error.h"
#include "strict_json.h"

namespace carousel {
namespace {

using nlohmann::json;

constexpr int FORMAT_VERSION = 1;
constexpr int64_t MAX_SIZE = 1 << 24, MAX_LAYERS = 64;
constexpr size_t MAX_VALUES = 1000;

// The fields of a configuration, with errors that name them.
class Fields {
 public:
  Fields(json table, std::string where) : table_(std::move(table)), where_(std::move(where)) {}

  [[noreturn]] void refuse(const std::string& problem) const {
    refuse_model(where_ + ": " + problem);
  }

  int64_t integer(const char* name, int64_t least, int64_t most) {
    const int64_t value = whole_number(take(name), name);
    if (value < least || value > most)
      refuse(std::string(name) + " must be " + std::to_string(least) + " to " +
             std::to_string(most));
    return value;
  }

  bool boolean(const char* name) {
    const json value = take(name);
    if (!value.is_boolean()) refuse(std::string(name) + " must be true or false");
    return value.get<bool>();
  }

  std::string text(const char* name) {
    const json value = take(name);
    if (!value.is_string()) refuse(std::string(name) + " must be text");
    return value.get<std::string>();
  }

  std::vector<int64_t> integers(const char* name) {
    if (!table_.contains(name)) return {};
    const json list = take(name);
    if (!list.is_array() || list.size() > static_cast<size_t>(MAX_LAYERS))
      refuse(std::string(name) + " must be a list of at most " + std::to_string(MAX_LAYERS));
    std::vector<int64_t> values;
    for (const json& value : list) values.push_back(whole_number(value, name));
    return values;
  }

  bool has(const char* name) const { return table_.contains(name); }

  void check_none_left() const {
    if (!table_.empty()) refuse("unknown: " + table_.begin().key());
  }

 private:
  json take(const char* name) {
    const auto found = table_.find(name);
    if (found == table_.end()) refuse("missing: " + std::string(name));
    json value = std::move(*found);
    table_.erase(found);
    return value;
  }

  int64_t whole_number(const json& value, const char* name) const {
    if (!value.is_number_integer() || value > json(INT64_MAX))
      refuse(std::string(name) + " must be whole numbers");
    return value.get<int64_t>();
  }

  json table_;
  std::string where_;
};

template <class Value>
Value choose(const Fields& fields, const char* field, const std::string& name,
             const std::vector<std::pair<std::string, Value>>& known) {
  std::string names;
  for (const auto& [known_name, value] : known) {
    if (known_name == name) return value;
    names += (names.empty() ? "" : ", ") + known_name;
  }
  fields.refuse(std::string(field) + " must be one of " + names);
}

struct NamedCell {
  Cell cell;
  bool peephole;
};

Hashes parse_hashes(const json& table, const std::string& where) {
  const auto digest = [&](const char* file) {
    if (!table.is_object() || table.size() != 2 || !table.contains(file))
      refuse_model(where + ": sha256 must have model.safetensors and tokenizer.json");
    const json& value = table[file];
    const std::string text = value.is_string() ? value.get<std::string>() : "";
    if (text.size() != 64 || text.find_first_not_of("0123456789abcdef") != std::string::npos)
      refuse_model(where + ": sha256 must be 64 hexadecimal digits each");
    return text;
  };
  return {digest("model.safetensors"), digest("tokenizer.json")};
}

void check_clusters(const Fields& fields, const Config& config) {
  int64_t last = 0;
  for (const int64_t cutoff : config.cutoffs) {
    if (cutoff <= last || cutoff >= config.vocab_size)
      fields.refuse("cutoffs must rise from above 0 to below vocab_size");
    last = cutoff;
  }
  if (config.tail_sizes.size() != config.cutoffs.size())
    fields.refuse("tail_sizes must be one width for each cutoff");
  for (const int64_t size : config.tail_sizes)
    if (size < 1 || size > MAX_SIZE || (config.tied && size != config.embedding_size))
      fields.refuse("tail_sizes must be 1 to " + std::to_string(MAX_SIZE) +
                    ", or embedding_size in a tied model");
}

}  // namespace

Config Config::from_json(std::string_view text, const std::string& where) {
  json table = parse_json(text, where, MAX_VALUES);
  if (!table.is_object() || !table.contains("format"))
    refuse_model(where + " is not a Carousel configuration");
  if (table["format"] != FORMAT_VERSION)
    refuse_model(where + " is of another format than " + std::to_string(FORMAT_VERSION) +
                 ": made by a newer version?");
  table.erase("format");
  Config config;
  if (table.contains("sha256") && !table["sha256"].is_null())
    config.hashes = parse_hashes(table["sha256"], where);
  table.erase("sha256");
  Fields fields(std::move(table), where);
  const NamedCell named = choose<NamedCell>(fields, "cell", fields.text("cell"),
                                            {{"rnn", {Cell::rnn, false}},
                                             {"gru", {Cell::gru, false}},
                                             {"gru-reset-before", {Cell::gru_reset_before, false}},
                                             {"lstm", {Cell::lstm, false}},
                                             {"lstm-peephole", {Cell::lstm, true}},
                                             {"cifg", {Cell::cifg, false}},
                                             {"cifg-peephole", {Cell::cifg, true}}});
  config.cell = named.cell;
  config.peephole = named.peephole;
  config.vocab_size = fields.integer("vocab_size", 1, MAX_SIZE);
  config.embedding_size = fields.integer("embedding_size", 1, MAX_SIZE);
  config.hidden_size = fields.integer("hidden_size", 1, MAX_SIZE);
  config.layers = fields.integer("layers", 1, MAX_LAYERS);
  config.projection_size = fields.integer("projection_size", 0, MAX_SIZE);
  config.tied = fields.boolean("tied");
  config.biases = fields.boolean("biases");
  if (fields.has("dtype"))
    config.dtype = choose<NumberFormat>(fields, "dtype", fields.text("dtype"),
                                        {{"float32", NumberFormat::float32},
                                         {"bfloat16", NumberFormat::bfloat16},
                                         {"int8", NumberFormat::int8}});
  config.cutoffs = fields.integers("cutoffs");
  config.tail_sizes = fields.integers("tail_sizes");
  if (fields.has("carry_state")) config.carry_state = fields.boolean("carry_state");
  fields.check_none_left();
  if (config.tied && config.decoder_width() != config.embedding_size)
    fields.refuse("a tied decoder reads embedding_size values, but other ones come in");
  check_clusters(fields, config);
  return config;
}

std::map<std::string, Shape> Config::weight_shapes() const {
  const int64_t rows = gate_count(cell) * hidden_size;
  std::map<std::string, Shape> shapes = {{"embedding.weight", {vocab_size, embedding_size}}};
  for (int64_t layer = 0; layer < layers; ++layer) {
    const std::string name = "layers." + std::to_string(layer);
    shapes[name + ".weight_ih"] = {rows, layer ? hidden_size : embedding_size};
    shapes[name + ".weight_hh"] = {rows, hidden_size};
    if (biases) shapes[name + ".bias_ih"] = shapes[name + ".bias_hh"] = {rows};
    if (peephole) shapes[name + ".weight_ch"] = {rows - hidden_size};
  }
  if (projection_size) shapes["projection.weight"] = {projection_size, hidden_size};
  if (cutoffs.empty()) {
    if (!tied) shapes["decoder.weight"] = {vocab_size, decoder_width()};
    shapes["decoder.bias"] = {vocab_size};
    return shapes;
  }
  const int64_t head_rows = cutoffs[0] + cluster_count();
  shapes["decoder.head.bias"] = {head_rows};
  shapes[tied ? "decoder.clusters.weight" : "decoder.head.weight"] = {
      tied ? cluster_count() : head_rows, decoder_width()};
  for (int64_t cluster = 0; cluster < cluster_count(); ++cluster) {
    const std::string name = "decoder.tail." + std::to_string(cluster);
    const int64_t size = tail_sizes[cluster];
    shapes[name + ".0.weight"] = {size, decoder_width()};
    if (!tied) shapes[name + ".1.weight"] = {cluster_end(cluster) - cutoffs[cluster], size};
  }
  return shapes;
}

// An embedding is read row by row, and a tied adaptive softmax is made of parts of it.
bool Config::may_be_tiled(const std::string& name) const {
  if (name == "embedding.weight") return tied && cutoffs.empty();
  return name != "decoder.clusters.weight";
}

}  // namespace carousel
