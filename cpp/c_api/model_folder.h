// A model as it lies on disk, ready to run: the weights stay where they lie.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "carousel/engine.h"
#include "config.h"
#include "mapped_file.h"
#include "tokenizer.h"
#include "weights_file.h"

namespace carousel {

// The content of a model folder's files, beside its configuration.
struct FolderBytes {
  std::string_view weights, tokenizer;
};

// A model that reads and predicts, of bytes that live longer than it.
class FolderModel {
 public:
  // Throws Error for anything in the files that is not as it must be; `folder` is what it calls the
  // place where they are. Their hashes are not checked.
  FolderModel(const FolderBytes& files, const std::string& folder, const Config& config);

  // The engine's methods may be called by several threads at once.
  Engine& engine() const { return *engine_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  // The header of the weights' file, of which config.json has the hash.
  std::string_view weights_header() const { return file_.header; }

 private:
  WeightsFile file_;
  AlignedBuffer<unsigned char> head_rows_;  // of a tied adaptive softmax
  AlignedBuffer<float> head_scales_;
  std::unique_ptr<Engine> engine_;
  Tokenizer tokenizer_;

  Model make_model(const Config& config);
  StoredWeight tied_head(const Config& config);
};

// The model in a folder, whose weights stay in the file, mapped. Throws Error also where the hashes
// in config.json are not those of the other files.
class OpenedFolder {
 public:
  explicit OpenedFolder(const std::string& folder);
  const FolderModel& model() const { return *model_; }

 private:
  MappedFile weights_;
  std::unique_ptr<FolderModel> model_;
};

}  // namespace carousel
