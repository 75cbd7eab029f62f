#include "model_folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "carousel/instruction_sets.h"
#include "error.h"
#ifdef CAROUSEL_LIBCRYPTO
#include <openssl/sha.h>
#endif

namespace carousel {
namespace {

constexpr size_t MAX_CONFIG_BYTES = 1 << 20, MAX_TOKENIZER_BYTES = 1 << 28;
constexpr int THREADS = 1;

Layer make_layer(const std::map<std::string, StoredWeight>& weights, const std::string& prefix) {
  const auto vector = [&](const char* name) {
    const auto found = weights.find(prefix + name);
    return found == weights.end() ? std::vector<float>() : found->second.padded_vector();
  };
  Layer layer;
  layer.input = weights.at(prefix + "weight_ih").weights();
  layer.hidden = weights.at(prefix + "weight_hh").weights();
  layer.input_bias = vector("bias_ih");
  layer.hidden_bias = vector("bias_hh");
  layer.peephole = vector("weight_ch");
  return layer;
}

// Throws Error where the SHA-256 of a file, or of its header, is not the one that config.json
// states.
void check_hash(std::string_view bytes, const std::string& expected, const std::string& folder,
                const std::string& name) {
#ifdef CAROUSEL_LIBCRYPTO
  if (expected.empty()) return;
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  std::string hexadecimal;
  for (const unsigned char byte : digest)
    hexadecimal += {"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
  if (hexadecimal != expected)
    refuse_model(folder + ": " + name +
                 " is not the one that config.json was written with: the folder is mixed or "
                 "damaged");
#else
  (void)bytes, (void)expected, (void)folder, (void)name;
#endif
}

}  // namespace

// The head of an adaptive softmax whose words' rows are the embedding's: a copy of the few rows.
StoredWeight FolderModel::tied_head(const Config& config) {
  const StoredWeight words = file_.weights.at("embedding.weight").slice(0, config.cutoffs[0]);
  const StoredWeight& clusters = file_.weights.at("decoder.clusters.weight");
  const int64_t row_bytes = words.columns * bytes_of(words.format);
  StoredWeight head = words;
  head.rows += clusters.rows;
  unsigned char* rows = head_rows_.grow(head.rows * row_bytes);
  std::memcpy(rows, words.data, words.rows * row_bytes);
  std::memcpy(rows + words.rows * row_bytes, clusters.data, clusters.rows * row_bytes);
  head.data = rows;
  if (words.scale) {
    float* scales = head_scales_.grow(head.rows);
    std::copy_n(words.scale, words.rows, scales);
    std::copy_n(clusters.scale, clusters.rows, scales + words.rows);
    head.scale = scales;
  }
  return head;
}

Model FolderModel::make_model(const Config& config) {
  const std::map<std::string, StoredWeight>& weights = file_.weights;
  const StoredWeight& embedding = weights.at("embedding.weight");
  Model model;
  model.cell = config.cell;
  model.vocab_size = config.vocab_size;
  model.hidden_size = config.hidden_size;
  model.carry_state = config.carry_state;
  model.embedding = {embedding.tiled, embedding.format, embedding.data, embedding.scale,
                     embedding.columns};
  for (int64_t layer = 0; layer < config.layers; ++layer)
    model.layers.push_back(make_layer(weights, "layers." + std::to_string(layer) + "."));
  if (config.projection_size)
    model.projection = std::make_unique<Weights>(weights.at("projection.weight").weights());
  if (config.cutoffs.empty()) {
    model.decoder = (config.tied ? embedding : weights.at("decoder.weight")).weights();
    model.decoder_bias = weights.at("decoder.bias").padded_vector();
    return model;
  }
  model.decoder = (config.tied ? tied_head(config) : weights.at("decoder.head.weight")).weights();
  model.decoder_bias = weights.at("decoder.head.bias").padded_vector();
  for (int64_t number = 0; number < config.cluster_count(); ++number) {
    const std::string name = "decoder.tail." + std::to_string(number);
    Cluster cluster;
    cluster.first = config.cutoffs[number];
    cluster.last = config.cluster_end(number);
    cluster.inner = weights.at(name + ".0.weight").weights();
    cluster.outer = (config.tied ? embedding.slice(cluster.first, cluster.last - cluster.first)
                                 : weights.at(name + ".1.weight"))
                        .weights();
    model.clusters.push_back(std::move(cluster));
  }
  return model;
}

// The tokenizer comes last: only the weights tell that the vocabulary is as large as is said.
FolderModel::FolderModel(const FolderBytes& files, const std::string& folder, const Config& config)
    : file_(read_weights(files.weights, config, folder + "/model.safetensors")),
      engine_(std::make_unique<Engine>(find_kernels(""), THREADS, make_model(config))),
      tokenizer_(
          Tokenizer::from_json(files.tokenizer, config.vocab_size, folder + "/tokenizer.json")) {}

OpenedFolder::OpenedFolder(const std::string& folder) {
  struct stat status;
  if (::stat(folder.c_str(), &status) != 0)
    refuse_model(folder + " is not there: no such model folder");
  if (!S_ISDIR(status.st_mode))
    refuse_model(folder + " is a file: a model is a folder with config.json in it");
  const MappedFile config_file(folder + "/config.json", MAX_CONFIG_BYTES);
  const MappedFile tokenizer(folder + "/tokenizer.json", MAX_TOKENIZER_BYTES);
  weights_ = MappedFile(folder + "/model.safetensors", std::numeric_limits<size_t>::max());
  const Config config = Config::from_json(config_file.bytes(), folder + "/config.json");
  const FolderBytes files = {weights_.bytes(), tokenizer.bytes()};
  model_ = std::make_unique<FolderModel>(files, folder, config);
  check_hash(files.tokenizer, config.hashes.tokenizer, folder, "tokenizer.json");
  check_hash(model_->weights_header(), config.hashes.weights_header, folder, "model.safetensors");
}

}  // namespace carousel
