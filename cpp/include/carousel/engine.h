// A model that reads tokens and scores words. Nothing of Python here.
//
// Contract: arguments are right (the bindings check them); arrays are contiguous. All methods may
// be called by several threads at once, `set_threads` too. They throw std::bad_alloc where there is
// no memory, and std::invalid_argument where scores are not finite; output arrays then hold
// anything.
//
// Shapes: T tokens, B sessions, N vectors, S floats of a session's state, L layers, H hidden units,
// P what the decoder reads (the projection's width, or H), V words.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "carousel/kernels.h"
#include "carousel/model.h"
#include "carousel/workspace.h"

namespace carousel {

// A clamp of one point, [T, B, H] each: value' = scale * value + offset. Null for none.
struct Clamp {
  const float* scale = nullptr;
  const float* offset = nullptr;
};

// What a trace writes, out[layer][point], [T, B, H] each or null, and what it clamps.
struct TraceRequest {
  std::vector<std::vector<float*>> out;
  std::vector<std::vector<Clamp>> clamps;
};

// What is to be decoded: states [N, S], or hidden vectors as the decoder reads them, [N, P].
struct DecoderInput {
  const float* data;
  bool states;
};

class CoarseDecoder;  // top_k_pruned.cpp

class Engine {
 public:
  Engine(const Kernels* kernels, int threads, Model model);
  ~Engine();

  const Kernels& kernels() const { return *kernels_; }
  const Model& model() const { return model_; }
  int threads() const { return workspaces_.threads(); }
  void set_threads(int threads) { workspaces_.set_threads(threads); }
  int64_t layers() const { return static_cast<int64_t>(model_.layers.size()); }
  int64_t points() const { return point_count(model_.cell); }
  int64_t state_size() const;                                                // S
  int64_t decoder_width() const { return model_.decoder.matrix().columns; }  // P
  int64_t bytes_read() const;  // weights that a step with its predictions reads

  // tokens [T, B]; state [B, S] is read and replaced; hidden [T, B, P], or null; B >= 1.
  void read(const int64_t* tokens, int64_t T, int64_t B, float* state, float* hidden,
            const TraceRequest* trace = nullptr);
  // The best k words of each vector, ids and log_probs [N, k]; best first, of equals the lower id.
  // Log-probabilities may be null: then rows may be left unread.
  void top_k(const DecoderInput& input, int64_t N, int64_t k, int64_t* ids, float* log_probs);
  // The scores of all words, [N, V]; log-probabilities for an adaptive softmax.
  void decode(const DecoderInput& input, int64_t N, float* scores);
  void log_prob(const DecoderInput& input, int64_t N, const int64_t* tokens, float* log_probs);
  // The log-probability of each of tokens [T, B] before it is read; B >= 1.
  void score(const int64_t* tokens, int64_t T, int64_t B, float* state, float* log_probs);

 private:
  // engine.cpp
  int threads_for(const Matrix& matrix, const Workspace& workspace) const;
  void multiply(Workspace& workspace, const Weights& weights, int64_t first, int64_t last,
                const Vectors& vectors, const float* bias, float* y, int64_t stride);
  Vectors decoder_input(Workspace& workspace, const DecoderInput& input, int64_t start,
                        int64_t count, bool quantize);

  // reading.cpp
  void load_state(Workspace& workspace, int64_t B, const float* state);
  void store_state(Workspace& workspace, int64_t B, float* state);
  void read_block(Workspace& workspace, const int64_t* tokens, int64_t start, int64_t count,
                  int64_t B, const TraceRequest* trace);
  void start_lines(Workspace& workspace, int64_t layer, const int64_t* tokens, int64_t B);
  void write_hidden(Workspace& workspace, int64_t count, float* hidden);
  void step_layer(Workspace& workspace, int64_t layer, int64_t B, int64_t t,
                  const PointBuffers* points);
  void prepare_points(Workspace& workspace, const TraceRequest& trace, int64_t layer, int64_t t,
                      int64_t B);
  void write_points(const Workspace& workspace, const TraceRequest& trace, int64_t layer, int64_t t,
                    int64_t B) const;

  // score_chunks.h
  template <class Use>
  void score_chunks(Workspace& workspace, const Weights& weights, const float* bias,
                    const Vectors& vectors, int parts, ScoreStatistics* statistics, Use&& use,
                    bool backwards = false);

  // top_k.cpp, top_k_pruned.cpp, adaptive_softmax.cpp
  void top_k_full(Workspace& workspace, const Vectors& vectors, int64_t k, int64_t* ids,
                  float* log_probs);
  void top_k_pruned(Workspace& workspace, const Vectors& x, int64_t k, int64_t* ids);
  void top_k_adaptive(Workspace& workspace, const Vectors& x, int64_t k, int64_t* ids,
                      float* log_probs);
  std::shared_ptr<const CoarseDecoder> coarse_decoder();

  // scoring.cpp, adaptive_softmax.cpp
  void decode_adaptive(Workspace& workspace, const Vectors& vectors, float* scores);
  void log_prob_of_rows(Workspace& workspace, const Weights& weights, const float* bias,
                        const Vectors& vectors, const int64_t* rows, float* log_probs);
  void add_cluster_log_probs(Workspace& workspace, int64_t cluster, const Vectors& vectors,
                             const int64_t* tokens, float* log_probs);
  Vectors cluster_input(Workspace& workspace, const Cluster& cluster, const Vectors& vectors);

  const Kernels* kernels_;
  Model model_;
  bool has_int8_ = false;
  WorkspacePool workspaces_;
  std::shared_ptr<const CoarseDecoder> coarse_;  // under bookkeeping_mutex
  std::atomic<unsigned> turn_{0};  // odd: the next few vectors are decoded from the last row on
};

}  // namespace carousel
