// A model's weights ready to be run, and all that a decoder does with them. Nothing of Python here.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "kernels.h"

namespace carousel {

constexpr size_t HUGE_PAGE = 2 << 20;

// The table for an instruction set by its name, or the best one for an empty name. Null if this
// machine does not have it.
const Kernels* find_kernels(const std::string& name);
std::vector<std::string> instruction_sets();

// Memory for numbers, on the borders of cache lines, or of huge pages if it is large; keeps its size
// and never shrinks.
template <class Element>
class Buffer {
 public:
  Element* grow(int64_t count) {
    if (count > capacity_) {
      const size_t bytes = padded(count * static_cast<int64_t>(sizeof(Element)) + 64, 64);
      const size_t border = bytes < HUGE_PAGE ? 64 : HUGE_PAGE;
      std::unique_ptr<Element, Free> made(static_cast<Element*>(
          std::aligned_alloc(border, padded(bytes, static_cast<int64_t>(border)))));
      if (!made) throw std::bad_alloc();
#if defined(__linux__)
      // Only advice: where there are none, pages stay small.
      if (border == HUGE_PAGE) madvise(made.get(), bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
      memory_ = std::move(made);
      capacity_ = count;
    }
    return memory_.get();
  }
  Element* get() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(Element* memory) const { std::free(memory); }
  };
  std::unique_ptr<Element, Free> memory_;
  int64_t capacity_ = 0;
};

// A matrix with what it needs beside the caller's array: padded scales, and tiles if it has none.
class Weights {
 public:
  Weights() = default;
  // Row-major float32 or bfloat16; used where it lies.
  Weights(Format format, const void* data, int64_t rows, int64_t columns);
  // Int8 with a scale a row: tiles are used where they lie, rows are copied into tiles.
  Weights(const int8_t* data, bool tiled, const float* scale, int64_t rows, int64_t columns);

  const Matrix& matrix() const { return matrix_; }
  int64_t bytes() const;
  void row(int64_t row, float* to) const;

 private:
  Matrix matrix_;
  Buffer<float> scale_;
  Buffer<int8_t> tiles_;
};

// A table of vectors to look up: as Weights, but int8 rows stay rows.
struct Embedding {
  const Weights* shared = nullptr;  // the decoder's, where it is tied
  Format format = Format::float32;
  const void* data = nullptr;
  const float* scale = nullptr;
  int64_t columns = 0;
  void row(int64_t row, float* to) const;
};

struct Layer {
  Weights input, hidden;               // weight_ih [G*H, E], weight_hh [G*H, H]
  std::vector<float> input_bias, hidden_bias, peephole;  // padded; empty for none
};

struct Cluster {
  int64_t first = 0, last = 0;  // its words' ids
  Weights inner, outer;         // [size, P], [words, size]
};

struct Model {
  Cell cell = Cell::lstm;
  int64_t words = 0, hidden = 0;
  Embedding embedding;
  std::vector<Layer> layers;
  std::unique_ptr<Weights> projection;
  // The decoder, or the head of an adaptive one: its words, then one row for each cluster.
  Weights decoder;
  std::vector<float> decoder_bias;  // padded
  std::vector<Cluster> clusters;
};

// Threads that share the rows of a product. Idle ones spin for a moment, and then sleep.
class Pool {
 public:
  explicit Pool(int threads);
  ~Pool();
  int threads() const { return static_cast<int>(workers_.size()) + 1; }
  // Calls work(0) to work(parts - 1), each once, and returns when all are done.
  void run(int parts, const std::function<void(int)>& work);

 private:
  void serve(int number);
  std::vector<std::thread> workers_;
  std::mutex one_at_a_time_, mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> round_{0};
  std::atomic<int> asleep_{0}, left_{0};
  std::atomic<bool> stop_{false};
  const std::function<void(int)>* work_ = nullptr;
  int parts_ = 0;
  long owner_ = 0;
};

// A clamp of one point, for all words and sessions, [T, B, H] each: value' = scale * value + offset.
struct Clamp {
  const float* scale = nullptr;
  const float* offset = nullptr;
};

// What a trace writes, out[layer][point], [T, B, H] each or null, and what it clamps.
struct Tracer {
  std::vector<std::vector<float*>> out;
  std::vector<std::vector<Clamp>> clamps;  // null where there is none
};

// What is to be decoded: states [N, S], or hidden vectors as the decoder reads them, [N, P].
struct Source {
  const float* data;
  bool states;
};

struct Space;  // the memory of one call

class Engine {
 public:
  Engine(const Kernels* kernels, int threads, Model model);
  ~Engine();

  const Kernels& kernels() const { return *kernels_; }
  int threads() const { return pool_->threads(); }
  void set_threads(int threads) { pool_ = std::make_unique<Pool>(threads); }
  // The embedding's rows are the decoder's, in tiles.
  void tie() { model_.embedding.shared = &model_.decoder; }
  int64_t state_size() const { return parts() * layers() * model_.hidden; }
  int64_t layers() const { return static_cast<int64_t>(model_.layers.size()); }
  int64_t words() const { return model_.words; }
  int64_t hidden() const { return model_.hidden; }
  int64_t points() const;
  int64_t read_size() const;  // P
  int64_t bytes_read() const;

  // tokens [T, B]; state [B, S] is read and replaced; hidden [T, B, P], or null.
  void read(const int64_t* tokens, int64_t T, int64_t B, float* state, float* hidden,
            const Tracer* tracer = nullptr);
  // Log-probabilities may be null: the ranking alone, which may leave rows unread.
  void top_k(const Source& source, int64_t N, int64_t k, int64_t* ids, float* log_probs);
  void decode(const Source& source, int64_t N, float* scores);
  void log_prob(const Source& source, int64_t N, const int64_t* tokens, float* log_probs);
  // tokens [T, B], each predicted before it is read.
  void score(const int64_t* tokens, int64_t T, int64_t B, float* state, float* log_probs);

 private:
  struct Ranking;
  struct Screen;
  struct Sum;

  int64_t parts() const { return model_.cell >= Cell::lstm ? 2 : 1; }
  int64_t gates() const;
  int parts_for(const Matrix& matrix) const;
  void product(const Weights& weights, int64_t first, int64_t last, const Vectors& vectors,
               const float* bias, float* y, int64_t stride);
  template <class Use>
  void rows_of(const Weights& weights, const float* bias, const Vectors& vectors, int parts,
               Tally* tallies, Use&& use, bool backwards = false);
  static float normaliser(const std::vector<Sum>& sums);
  static float normaliser(Tally* tallies, int parts, int64_t stride);
  void run(Space& space, const int64_t* tokens, int64_t T, int64_t B, float* state, float* hidden,
           const Tracer* tracer);
  void step_layer(Space& space, int64_t layer, int64_t B, int64_t t, const Watch* watches);
  void prepare_watches(Space& space, const Tracer& tracer, int64_t layer, int64_t t, int64_t B);
  void write_points(const Space& space, const Tracer& tracer, int64_t layer, int64_t t,
                    int64_t B) const;
  Vectors to_read(Space& space, const Source& source, int64_t start, int64_t count, bool int8);
  void rank_flat(const Vectors& vectors, int64_t k, int64_t* ids, float* log_probs);
  void rank_screened(const Vectors& x, int64_t k, int64_t* ids);
  void rank_clusters(Space& space, const Vectors& x, int64_t k, int64_t* ids, float* log_probs);
  std::unique_ptr<Space> take();
  void give(std::unique_ptr<Space> space);

  const Kernels* kernels_;
  Model model_;
  bool int8_ = false;
  std::unique_ptr<Pool> pool_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Space>> spaces_;
  std::once_flag screen_once_;
  std::unique_ptr<Screen> screen_;
  std::atomic<unsigned> turn_{0};  // odd: the next few vectors are decoded from the last row on
};

}  // namespace carousel
