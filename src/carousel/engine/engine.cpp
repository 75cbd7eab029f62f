#include "engine.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>

#if defined(CAROUSEL_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace carousel {
namespace {

constexpr int64_t FIRST_CHUNK = 64;   // rows at first, after which few scores are above the bar
constexpr int64_t BLOCK = MANY;       // vectors that are decoded at a time
constexpr int64_t WORTH = 256 << 10;  // bytes of weights from which a thread's help pays

const float NONE = -std::numeric_limits<float>::infinity();

#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool has_vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
#if defined(CAROUSEL_AMX)
// Linux lends the matrix unit's registers to a process that asks for them.
bool has_amx() {
  constexpr long REQUEST = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA
  constexpr unsigned NEEDED = 1u << 22 | 1u << 24 | 1u << 25;  // bfloat16, tiles, int8
  unsigned a, b, c, d = 0;
  return has_vnni() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & NEEDED) == NEEDED &&
         syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}
#endif
#elif defined(__aarch64__) && defined(__linux__)
bool has_dotprod() { return getauxval(AT_HWCAP) & HWCAP_ASIMDDP; }
#elif defined(__aarch64__)
bool has_dotprod() { return true; }
#endif

// What this machine can run, best first.
std::vector<const Kernels*> runnable() {
  std::vector<const Kernels*> found;
#if defined(CAROUSEL_AMX)
  if (has_amx()) found.push_back(amx_kernels());
#endif
#if defined(__x86_64__)
  if (has_vnni()) found.push_back(vnni_kernels());
  if (has_avx512()) found.push_back(avx512_kernels());
  if (has_avx2()) found.push_back(avx2_kernels());
#elif defined(__aarch64__)
  if (has_dotprod()) found.push_back(dotprod_kernels());
  found.push_back(neon_kernels());
#endif
  found.push_back(plain_kernels());
  return found;
}

// Memory of one thread: what a product needs to work, and the scores of a chunk.
float* work_space(int64_t columns) {
  thread_local Buffer<float> buffer;
  return buffer.grow(space_for(columns));
}

float* chunk_of_scores(int64_t count) {
  thread_local Buffer<float> buffer;
  return buffer.grow(count);
}

float widen(uint16_t bfloat16) {
  const uint32_t bits = static_cast<uint32_t>(bfloat16) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Vectors with what int8 matrices need of them.
struct Lines {
  int64_t size = 0, stride = 0;
  Buffer<float> values, scale;
  Buffer<int8_t> bytes;
  Buffer<int32_t> sum;

  void shape(int64_t count, int64_t size_) {
    size = size_;
    stride = padded(size);
    values.grow(count * stride + TILE);
    bytes.grow(count * stride + TILE);
    scale.grow(count);
    sum.grow(count);
  }
  float* at(int64_t v) { return values.get() + v * stride; }
  // To be called when vector `v` has been written, and before it is multiplied.
  void seal(const Kernels& kernels, int64_t v, bool int8) {
    std::memset(at(v) + size, 0, (stride - size) * sizeof(float));
    if (int8) {
      kernels.quantize(at(v), stride, bytes.get() + v * stride, scale.get() + v, sum.get() + v);
    }
  }
  Vectors vectors(int64_t first, int64_t count) const {
    return {count,
            stride,
            values.get() + first * stride,
            bytes.get() + first * stride,
            scale.get() + first,
            sum.get() + first};
  }
};

}  // namespace

const Kernels* find_kernels(const std::string& name) {
  for (const Kernels* kernels : runnable())
    if (name.empty() || name == kernels->name) return kernels;
  return nullptr;
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Kernels* kernels : runnable()) names.emplace_back(kernels->name);
  return names;
}

// -- weights --------------------------------------------------------------------------------------

Weights::Weights(Format format, const void* data, int64_t rows, int64_t columns)
    : matrix_{format, data, nullptr, rows, columns} {}

Weights::Weights(const int8_t* data, bool tiled, const float* scale, int64_t rows, int64_t columns)
    : matrix_{Format::int8, data, nullptr, rows, columns} {
  float* scales = scale_.grow(padded(rows));
  std::copy(scale, scale + rows, scales);
  std::fill(scales + rows, scales + padded(rows), 0.0f);
  matrix_.scale = scales;
  if (tiled) return;
  const int64_t wide = padded(columns, DEPTH);
  int8_t* tiles = tiles_.grow(padded(rows) * wide);
  if (rows % TILE || columns % DEPTH) std::memset(tiles, 0, padded(rows) * wide);
  for (int64_t row = 0; row < rows; ++row) {
    int8_t* to = tiles + row / TILE * TILE * wide + row % TILE * DEPTH;
    const int8_t* from = data + row * columns;
    int64_t k = 0;
    for (; k + DEPTH <= columns; k += DEPTH) std::memcpy(to + k * TILE, from + k, DEPTH);
    std::memcpy(to + k * TILE, from + k, columns - k);
  }
  matrix_.data = tiles;
}

int64_t Weights::bytes() const {
  const Matrix& m = matrix_;
  if (m.format == Format::int8) return m.rows * (m.columns + static_cast<int64_t>(sizeof(float)));
  return m.rows * m.columns * (m.format == Format::float32 ? 4 : 2);
}

void Weights::row(int64_t row, float* to) const {
  const Matrix& m = matrix_;
  if (m.format != Format::int8) return Embedding{nullptr, m.format, m.data, nullptr, m.columns}.row(row, to);
  const int8_t* from = static_cast<const int8_t*>(m.data) +
                       row / TILE * TILE * padded(m.columns, DEPTH) + row % TILE * DEPTH;
  for (int64_t k = 0; k < m.columns; ++k)
    to[k] = from[k / DEPTH * DEPTH * TILE + k % DEPTH] * m.scale[row];
}

void Embedding::row(int64_t row, float* to) const {
  if (shared) return shared->row(row, to);
  switch (format) {
    case Format::float32:
      std::memcpy(to, static_cast<const float*>(data) + row * columns, columns * sizeof(float));
      return;
    case Format::bfloat16: {
      const uint16_t* from = static_cast<const uint16_t*>(data) + row * columns;
      for (int64_t k = 0; k < columns; ++k) to[k] = widen(from[k]);
      return;
    }
    case Format::int8: {
      const int8_t* from = static_cast<const int8_t*>(data) + row * columns;
      for (int64_t k = 0; k < columns; ++k) to[k] = from[k] * scale[row];
    }
  }
}

// -- threads --------------------------------------------------------------------------------------

Pool::Pool(int threads) : owner_(getpid()) {
  for (int number = 1; number < threads; ++number)
    workers_.emplace_back([this, number] { serve(number); });
}

Pool::~Pool() {
  if (owner_ != getpid()) {  // a forked child has only a copy of the handles
    for (auto& worker : workers_) worker.detach();
    return;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    ++round_;
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void Pool::run(int parts, const std::function<void(int)>& work) {
  std::unique_lock<std::mutex> mine(one_at_a_time_, std::try_to_lock);
  if (parts == 1 || !mine || owner_ != getpid()) {
    for (int part = 0; part < parts; ++part) work(part);
    return;
  }
  work_ = &work;
  parts_ = parts;
  left_ = static_cast<int>(workers_.size());
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ++round_;
  }
  if (asleep_ > 0) wake_.notify_all();
  work(0);
  for (int spins = 0; left_ > 0; ++spins)
    if (spins > 1000) std::this_thread::yield();
}

void Pool::serve(int number) {
  for (uint64_t seen = 0;;) {
    for (int spins = 0; round_ == seen && spins < 20000; ++spins) {
    }
    if (round_ == seen) {
      std::unique_lock<std::mutex> lock(mutex_);
      ++asleep_;
      wake_.wait(lock, [&] { return round_ != seen; });
      --asleep_;
    }
    seen = round_;
    if (stop_) return;
    if (number < parts_) (*work_)(number);
    --left_;
  }
}

// -- one call's memory ----------------------------------------------------------------------------

struct Space {
  Lines x, y;                            // what goes into a layer, and what comes out
  std::vector<Lines> h;                  // per layer, of every session
  std::vector<Buffer<float>> c;          // per layer, [B, padded(H)]
  Buffer<float> from_x, from_h;          // W x + b of a block of words, R h + b of one
  Buffer<float> keep;                    // z of a GRU with the reset first
  Lines reset;                           // and r ⊙ h
  Buffer<float> seen, values;            // points of one word, and what they are held at
  Buffer<int32_t> masks;
  Lines read;                            // what the decoder gets
  Lines small;                           // what a cluster gets
};

std::unique_ptr<Space> Engine::take() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!spaces_.empty()) {
      auto space = std::move(spaces_.back());
      spaces_.pop_back();
      return space;
    }
  }
  auto space = std::make_unique<Space>();
  space->h.resize(layers());
  space->c.resize(layers());
  return space;
}

void Engine::give(std::unique_ptr<Space> space) {
  std::lock_guard<std::mutex> lock(mutex_);
  spaces_.push_back(std::move(space));
}

// -- the engine -----------------------------------------------------------------------------------

// A coarser decoder in int8, and how far each of its rows is from the true one: rows that can't
// be among the best by it need not be read.
struct Engine::Screen {
  std::unique_ptr<Weights> rows;
  std::vector<float> error, norm;  // Euclidean norms, rounded up: of the difference, of the row
};

Engine::Engine(const Kernels* kernels, int threads, Model model)
    : kernels_(kernels), model_(std::move(model)), pool_(std::make_unique<Pool>(threads)) {
  const auto look = [&](const Weights& w) { int8_ |= w.matrix().format == Format::int8; };
  for (const Layer& layer : model_.layers) {
    look(layer.input);
    look(layer.hidden);
  }
  if (model_.projection) look(*model_.projection);
  look(model_.decoder);
  for (const Cluster& cluster : model_.clusters) {
    look(cluster.inner);
    look(cluster.outer);
  }
}

Engine::~Engine() = default;

int64_t Engine::gates() const {
  switch (model_.cell) {
    case Cell::rnn: return 1;
    case Cell::lstm: return 4;
    default: return 3;
  }
}

int64_t Engine::points() const {
  switch (model_.cell) {
    case Cell::rnn: return 1;
    case Cell::gru:
    case Cell::gru_reset_before: return 4;
    default: return 6;
  }
}

int64_t Engine::read_size() const { return model_.decoder.matrix().columns; }

int64_t Engine::bytes_read() const {
  int64_t bytes = model_.decoder.bytes() + 4 * static_cast<int64_t>(model_.decoder_bias.size());
  for (const Layer& layer : model_.layers) {
    bytes += layer.input.bytes() + layer.hidden.bytes();
    for (const auto* bias : {&layer.input_bias, &layer.hidden_bias, &layer.peephole})
      bytes += 4 * static_cast<int64_t>(bias->size());
  }
  return bytes + (model_.projection ? model_.projection->bytes() : 0);
}

int Engine::parts_for(const Matrix& m) const {
  const int64_t bytes = m.rows * m.columns *
                        (m.format == Format::float32 ? 4 : m.format == Format::bfloat16 ? 2 : 1);
  return static_cast<int>(std::clamp<int64_t>(bytes / WORTH, 1, threads()));
}

void Engine::product(const Weights& weights, int64_t first, int64_t last, const Vectors& vectors,
                     const float* bias, float* y, int64_t stride) {
  const Matrix& m = weights.matrix();
  const int parts = parts_for(m);
  const auto some = [&](int64_t from, int64_t to) {
    kernels_->product(m, from, to, vectors, bias, y + from - first, stride, work_space(m.columns),
                      nullptr);
  };
  if (parts == 1) return some(first, last);
  const int64_t share = padded((last - first + parts - 1) / parts);
  pool_->run(parts, [&](int part) {
    const int64_t from = first + part * share, to = std::min(from + share, last);
    if (from < to) some(from, to);
  });
}

// Where chunks of rows begin, and the end: few rows at first and at last, after which few scores are
// above the bar from either side.
std::vector<int64_t> chunks_of(int64_t first, int64_t end) {
  std::vector<int64_t> edges = {first};
  const int64_t last = std::max(first, (end - FIRST_CHUNK) / TILE * TILE);
  for (int64_t chunk = FIRST_CHUNK; edges.back() + chunk < last; chunk = std::min(4 * chunk, CHUNK))
    edges.push_back(edges.back() + chunk);
  if (last > edges.back()) edges.push_back(last);
  edges.push_back(end);
  return edges;
}

// Passes over all rows a chunk at a time: use(part, first row, rows, scores, stride). Where there
// are tallies, one of each vector for each part, the scores are in them by then.
template <class Use>
void Engine::rows_of(const Weights& weights, const float* bias, const Vectors& vectors, int parts,
                     Tally* tallies, Use&& use, bool backwards) {
  const Matrix& m = weights.matrix();
  const int64_t share = padded((m.rows + parts - 1) / parts);
  const auto some = [&](int part) {
    float* scores = chunk_of_scores(vectors.count * CHUNK);
    const int64_t begin = part * share, end = std::min(begin + share, m.rows);
    if (begin >= end) return;
    const std::vector<int64_t> edges = chunks_of(begin, end);
    const size_t count = edges.size() - 1;
    for (size_t n = 0; n < count; ++n) {
      const size_t at = backwards ? count - 1 - n : n;
      const int64_t row = edges[at], last = edges[at + 1];
      kernels_->product(m, row, last, vectors, bias, scores, CHUNK, work_space(m.columns),
                        tallies ? tallies + part * vectors.count : nullptr);
      use(part, row, last - row, scores, CHUNK);
    }
  };
  if (parts == 1) return some(0);
  pool_->run(parts, some);
}

// One word of every session through one layer, whose W x + b is in `from_x` at word `t`.
void Engine::step_layer(Space& space, int64_t layer, int64_t B, int64_t t, const Watch* watch) {
  const Layer& weights = model_.layers[layer];
  const int64_t H = model_.hidden, wide = padded(gates() * H), tall = padded(H);
  const auto bias = [](const std::vector<float>& b, int64_t at = 0) {
    return b.empty() ? nullptr : b.data() + at;
  };
  Lines& h = space.h[layer];
  const bool reset_before = model_.cell == Cell::gru_reset_before;
  const int64_t rows = reset_before ? 2 * H : gates() * H;
  float* from_h = space.from_h.get();
  // Where the candidate waits for the reset, its rows begin wherever 2 H lies in the tiles; the
  // gates' rows end there.
  product(weights.hidden, 0, rows, h.vectors(0, B), bias(weights.hidden_bias), from_h, wide);
  const auto update_of = [&](int64_t b) {
    Update u{};
    u.cell = model_.cell;
    u.size = H;
    u.x = space.from_x.get() + (t * B + b) * wide;
    u.r = from_h + b * wide;
    u.h = u.h_out = h.at(b);
    u.h_out = h.at(b);
    u.c = u.c_out = space.c[layer].get() ? space.c[layer].get() + b * tall : nullptr;
    u.peephole = weights.peephole.empty() ? nullptr : weights.peephole.data();
    u.watch = watch;
    if (reset_before) {
      u.reset = space.reset.at(b);
      u.keep = space.keep.get() + b * tall;
    }
    return u;
  };
  if (reset_before) {
    for (int64_t b = 0; b < B; ++b) {
      kernels_->reset(update_of(b));
      space.reset.seal(*kernels_, b, int8_);
    }
    const int64_t first = 2 * H / TILE * TILE;  // a product starts at a tile's first row
    product(weights.hidden, first, 3 * H, space.reset.vectors(0, B),
            bias(weights.hidden_bias), from_h, wide);
    from_h += 2 * H - first;
  }
  for (int64_t b = 0; b < B; ++b) {
    kernels_->update(update_of(b));
    h.seal(*kernels_, b, int8_);
  }
}

// One session (of a trace) or all: word t of session b is tokens[t * token_stride + b].
void Engine::run(Space& space, const int64_t* tokens, int64_t T, int64_t B, int64_t token_stride,
                 float* state, float* hidden, int64_t hidden_stride, const Tracer* tracer,
                 int64_t session, int64_t sessions) {
  const int64_t L = layers(), H = model_.hidden, S = state_size(), tall = padded(H);
  const int64_t wide = padded(gates() * H), E = model_.embedding.columns, P = read_size();
  const int64_t block = std::max<int64_t>(1, std::min(T, BLOCK / B));
  const bool cells = parts() == 2;
  space.from_x.grow(block * B * wide + TILE);
  space.from_h.grow(B * wide + 2 * TILE);
  if (model_.cell == Cell::gru_reset_before) {
    space.reset.shape(B, H);
    space.keep.grow(B * tall);
  }
  if (tracer) {
    space.seen.grow(points() * tall);
    space.values.grow(points() * tall);
    space.masks.grow(points() * tall);
  }
  for (int64_t l = 0; l < L; ++l) {
    space.h[l].shape(B, H);
    if (cells) space.c[l].grow(B * tall);
    for (int64_t b = 0; b < B; ++b) {
      const float* from = state + b * S + l * H;
      std::memcpy(space.h[l].at(b), from, H * sizeof(float));
      space.h[l].seal(*kernels_, b, int8_);
      if (cells) {
        float* c = space.c[l].get() + b * tall;
        std::memcpy(c, from + L * H, H * sizeof(float));
        std::fill(c + H, c + tall, 0.0f);
      }
    }
  }
  for (int64_t start = 0; start < T; start += block) {
    const int64_t count = std::min(block, T - start);
    space.x.shape(block * B, E);
    for (int64_t v = 0; v < count * B; ++v)
      model_.embedding.row(tokens[(start + v / B) * token_stride + v % B], space.x.at(v));
    for (int64_t l = 0; l < L; ++l) {
      for (int64_t v = 0; v < count * B; ++v) space.x.seal(*kernels_, v, int8_);
      const Layer& layer = model_.layers[l];
      product(layer.input, 0, gates() * H, space.x.vectors(0, count * B),
              layer.input_bias.empty() ? nullptr : layer.input_bias.data(), space.from_x.get(),
              wide);
      space.y.shape(block * B, H);
      for (int64_t t = 0; t < count; ++t) {
        Watch watch{};
        // Where this layer, word and session stand in an array [T, B, H].
        const int64_t at = ((start + t) * sessions + session) * H;
        for (int64_t p = 0; tracer && p < points(); ++p) {
          watch.out[p] = space.seen.get() + p * tall;
          const Clamp& clamp = tracer->clamps[l][p];
          if (!clamp.mask) continue;
          int32_t* mask = space.masks.get() + p * tall;
          float* value = space.values.get() + p * tall;
          for (int64_t k = 0; k < H; ++k) mask[k] = clamp.mask[at + k] ? -1 : 0;
          std::memcpy(value, clamp.value + at, H * sizeof(float));
          std::fill(mask + H, mask + tall, 0);
          std::fill(value + H, value + tall, 0.0f);
          watch.mask[p] = mask;
          watch.value[p] = value;
        }
        step_layer(space, l, B, t, tracer ? &watch : nullptr);
        for (int64_t p = 0; tracer && p < points(); ++p)
          std::memcpy(tracer->out[l][p] + at, watch.out[p], H * sizeof(float));
        for (int64_t b = 0; b < B; ++b)
          std::memcpy(space.y.at(t * B + b), space.h[l].at(b), H * sizeof(float));
      }
      std::swap(space.x, space.y);
    }
    if (!hidden) continue;
    float* to = hidden + start * hidden_stride;
    if (model_.projection) {
      for (int64_t v = 0; v < count * B; ++v) space.x.seal(*kernels_, v, int8_);
      space.read.shape(count * B, P);
      product(*model_.projection, 0, P, space.x.vectors(0, count * B), nullptr,
              space.read.values.get(), space.read.stride);
    }
    for (int64_t v = 0; v < count * B; ++v)
      std::memcpy(to + v / B * hidden_stride + v % B * P,
                  model_.projection ? space.read.at(v) : space.x.at(v), P * sizeof(float));
  }
  for (int64_t l = 0; l < L; ++l) {
    for (int64_t b = 0; b < B; ++b) {
      float* to = state + b * S + l * H;
      std::memcpy(to, space.h[l].at(b), H * sizeof(float));
      if (cells) std::memcpy(to + L * H, space.c[l].get() + b * tall, H * sizeof(float));
    }
  }
}

void Engine::read(const int64_t* tokens, int64_t T, int64_t B, float* state, float* hidden) {
  auto space = take();
  run(*space, tokens, T, B, B, state, hidden, B * read_size(), nullptr, 0, B);
  give(std::move(space));
}

void Engine::trace(const int64_t* tokens, int64_t T, int64_t B, float* state, float* hidden,
                   const Tracer& tracer) {
  auto space = take();
  for (int64_t b = 0; b < B; ++b)
    run(*space, tokens + b, T, 1, B, state + b * state_size(), hidden + b * read_size(),
        B * read_size(), &tracer, b, B);
  give(std::move(space));
}

// Vectors `start` to `start + count` as the decoder reads them: into space.read, sealed.
Vectors Engine::to_read(Space& space, const Source& source, int64_t start, int64_t count,
                        bool int8) {
  const int64_t H = model_.hidden, P = read_size(), S = state_size();
  const bool project = source.states && model_.projection;
  Lines& from = project ? space.x : space.read;
  from.shape(count, project ? H : P);
  for (int64_t v = 0; v < count; ++v) {
    const float* vector = source.states ? source.data + (start + v) * S + (layers() - 1) * H
                                        : source.data + (start + v) * P;
    std::memcpy(from.at(v), vector, from.size * sizeof(float));
    from.seal(*kernels_, v, int8);
  }
  if (project) {
    space.read.shape(count, P);
    product(*model_.projection, 0, P, space.x.vectors(0, count), nullptr, space.read.at(0),
            space.read.stride);
    for (int64_t v = 0; v < count; ++v) space.read.seal(*kernels_, v, int8);
  }
  return space.read.vectors(0, count);
}

// -- decoding -------------------------------------------------------------------------------------

// The k best scores so far, the worst of them on top of a heap; of equals the lower id is better.
struct Engine::Ranking {
  struct Entry {
    float score;
    int64_t id;
  };
  int64_t k;
  std::vector<Entry> entries;

  explicit Ranking(int64_t k_) : k(k_) { entries.reserve(static_cast<size_t>(k)); }

  static bool better(const Entry& a, const Entry& b) {
    return a.score > b.score || (a.score == b.score && a.id < b.id);
  }
  bool full() const { return static_cast<int64_t>(entries.size()) == k; }
  float bar() const { return full() ? entries.front().score : NONE; }
  void offer(Entry entry) {
    if (std::isnan(entry.score)) entry.score = NONE;
    if (full()) {
      if (!better(entry, entries.front())) return;
      std::pop_heap(entries.begin(), entries.end(), better);
      entries.back() = entry;
    } else {
      entries.push_back(entry);
    }
    std::push_heap(entries.begin(), entries.end(), better);
  }
  // Scores of ids from `first` on, above all ids offered before: those at the places, if there are
  // k already.
  void offer(const float* scores, int64_t count, int64_t first, const int32_t* places,
             int64_t found) {
    int64_t at = 0;
    for (; at < count && !full(); ++at) offer({scores[at], first + at});
    for (int64_t n = 0; n < found; ++n)
      if (places[n] >= at && places[n] < count) offer({scores[places[n]], first + places[n]});
  }
  // As they are in a tally, which gets the new bar.
  void offer(const float* scores, int64_t count, int64_t first, Tally& tally) {
    offer(scores, count, first, tally.places, tally.found);
    tally.bar = bar();
  }
  void take(const Ranking& other) {
    for (const Entry& entry : other.entries) offer(entry);
  }
  void sort() { std::sort(entries.begin(), entries.end(), better); }
};

// Σ exp of some scores of one vector, as far as it is needed.
struct Engine::Sum {
  float largest;
  double exps;  // of what each score is below the largest
  float fault;

  // And nothing is left in the tally but its bar.
  static Sum of(Tally& tally) {
    const Sum made{tally.largest, std::accumulate(std::begin(tally.sums), std::end(tally.sums), 0.0),
                   tally.fault};
    tally.largest = NONE;
    std::fill(std::begin(tally.sums), std::end(tally.sums), 0.0);
    tally.fault = 0;
    return made;
  }
};

// log Σ exp of all scores of one vector.
float Engine::normaliser(const std::vector<Sum>& sums) {
  float largest = NONE;
  for (const Sum& sum : sums) largest = std::max(largest, sum.largest);
  double all = 0;
  for (const Sum& sum : sums) {
    if (sum.exps > 0) all += sum.exps * std::exp(static_cast<double>(sum.largest) - largest);
    all += sum.fault;
  }
  const float log_sum = static_cast<float>(largest + std::log(all));
  if (!std::isfinite(log_sum))
    throw std::invalid_argument("the scores are not finite: the model's weights are too large");
  return log_sum;
}

// The same from the tallies of one vector, one of each part.
float Engine::normaliser(Tally* tallies, int parts, int64_t stride) {
  std::vector<Sum> sums;
  for (int part = 0; part < parts; ++part) sums.push_back(Sum::of(tallies[part * stride]));
  return normaliser(sums);
}

// Best k of every vector with a plain decoder, and with the normaliser where it is asked for.
//
// Of few vectors every second call reads the rows from the last to the first: what was read last may
// still lie in the second cache. Each chunk has a tally of its own, so that what comes out does not
// depend on the order.
void Engine::rank_flat(const Vectors& vectors, int64_t k, int64_t* ids, float* log_probs) {
  const int64_t N = vectors.count;
  const int parts = parts_for(model_.decoder.matrix());
  const bool backwards = N <= FEW && turn_.fetch_xor(1, std::memory_order_relaxed);
  std::vector<Ranking> best(parts * N, Ranking(0));
  for (auto& ranking : best) ranking = Ranking(k);
  std::vector<Tally> tallies(parts * N);
  for (auto& tally : tallies) tally.bar = NONE;
  std::vector<std::vector<Sum>> sums(parts * N);
  const auto use = [&](int part, int64_t row, int64_t rows, const float* scores, int64_t stride) {
    for (int64_t v = part * N; v < (part + 1) * N; ++v) {
      best[v].offer(scores + (v - part * N) * stride, rows, row, tallies[v]);
      sums[v].push_back(Sum::of(tallies[v]));
      // Of equals the lower id is better: backwards it is still to come.
      if (backwards) tallies[v].bar = std::nextafter(tallies[v].bar, NONE);
    }
  };
  rows_of(model_.decoder, model_.decoder_bias.data(), vectors, parts, tallies.data(), use,
          backwards);
  for (int64_t v = 0; v < N; ++v) {
    std::vector<Sum> all;
    for (int part = 0; part < parts; ++part) {
      auto& some = sums[part * N + v];
      if (backwards) std::reverse(some.begin(), some.end());
      all.insert(all.end(), some.begin(), some.end());
      if (part) best[v].take(best[part * N + v]);
    }
    best[v].sort();
    const float log_sum = log_probs ? normaliser(all) : 0;
    for (int64_t n = 0; n < k; ++n) {
      ids[v * k + n] = best[v].entries[n].id;
      if (log_probs) log_probs[v * k + n] = best[v].entries[n].score - log_sum;
    }
  }
}

// Best k of one vector, reading only those rows that a coarser decoder can't rule out.
//
// For a row w and its coarse copy w', a vector x and its coarse copy x' (Cauchy and Schwarz):
//   |w x - w' x'| <= |w - w'| |x| + |w'| |x - x'|
// and the arithmetic of either product adds less than (K + 8) u |w| |x| with u = 2^-23.
void Engine::rank_screened(const Vectors& x, int64_t k, int64_t* ids) {
  const Matrix& m = model_.decoder.matrix();
  std::call_once(screen_once_, [&] {
    auto screen = std::make_unique<Screen>();
    std::vector<int8_t> rows(m.rows * m.columns);
    std::vector<float> scale(m.rows), row(m.columns);
    screen->error.resize(padded(m.rows));
    screen->norm.resize(padded(m.rows));
    for (int64_t r = 0; r < m.rows; ++r) {
      model_.decoder.row(r, row.data());
      float largest = 0;
      for (float w : row) largest = std::max(largest, std::fabs(w));
      scale[r] = largest > 1e-30f ? largest / 127 : 0;
      double error = 0, norm = 0;
      for (int64_t c = 0; c < m.columns; ++c) {
        const float q = scale[r] > 0 ? std::nearbyint(row[c] / scale[r]) : 0;
        rows[r * m.columns + c] = static_cast<int8_t>(std::clamp(q, -127.0f, 127.0f));
        const double off = row[c] - static_cast<double>(rows[r * m.columns + c]) * scale[r];
        error += off * off;
        norm += static_cast<double>(row[c]) * row[c];
      }
      screen->error[r] = static_cast<float>(std::sqrt(error) * (1 + 1e-6));
      screen->norm[r] = static_cast<float>((std::sqrt(norm) + std::sqrt(error)) * (1 + 1e-6));
    }
    screen->rows = std::make_unique<Weights>(rows.data(), false, scale.data(), m.rows, m.columns);
    screen_ = std::move(screen);
  });
  double length = 0, off = 0;
  for (int64_t c = 0; c < m.columns; ++c) {
    const double gap = x.values[c] - static_cast<double>(x.bytes[c]) * *x.scale;
    length += static_cast<double>(x.values[c]) * x.values[c];
    off += gap * gap;
  }
  length = std::sqrt(length) * (1 + 1e-6);
  off = std::sqrt(off) * (1 + 1e-6);
  const double rounding = (m.columns + 8) * std::ldexp(1.0, -22);
  const float by_error = static_cast<float>(length * (1 + 1e-6));
  const float by_norm = static_cast<float>((off + rounding * (length + off)) * (1 + 1e-6));
  const float by_bias = std::ldexp(1.0f, -21);

  struct Candidate {
    int64_t id;
    float upper;
  };
  std::vector<Candidate> candidates;
  Ranking sure(k);  // the k best lower bounds: what is wholly below them can't win
  const float* bias = model_.decoder_bias.data();
  rows_of(*screen_->rows, bias, x, 1, nullptr,
          [&](int, int64_t first, int64_t rows, const float* scores, int64_t) {
            float lower[CHUNK], upper[CHUNK];
            for (int64_t n = 0; n < rows; ++n) {
              const int64_t r = first + n;
              const float far = screen_->error[r] * by_error + screen_->norm[r] * by_norm +
                                (std::fabs(bias[r]) + std::fabs(scores[n])) * by_bias;
              lower[n] = scores[n] - far;
              upper[n] = scores[n] + far;
            }
            int32_t places[CHUNK];
            sure.offer(lower, rows, first, places,
                       kernels_->above(lower, rows, sure.bar(), places));
            const float bar = std::nextafter(sure.bar(), NONE);
            const int64_t found = sure.full() ? kernels_->above(upper, rows, bar, places) : rows;
            for (int64_t n = 0; n < found; ++n) {
              const int64_t at = sure.full() ? places[n] : n;
              candidates.push_back({first + at, upper[at]});
            }
          });
  Ranking best(k);
  for (const Candidate& candidate : candidates) {
    if (candidate.upper < sure.bar()) continue;
    float score[TILE];
    kernels_->product(m, candidate.id, candidate.id + 1, x, bias, score, TILE, work_space(m.columns),
                       nullptr);
    best.offer({*score, candidate.id});
  }
  best.sort();
  for (int64_t n = 0; n < k; ++n) ids[n] = best.entries[n].id;
}

// Best k of one vector with an adaptive decoder. No word of a cluster is likelier than the whole
// cluster, so that one whose row scores below the k-th best word need not be opened.
void Engine::rank_clusters(Space& space, const Vectors& x, int64_t k, int64_t* ids,
                           float* log_probs) {
  const int64_t count = static_cast<int64_t>(model_.clusters.size());
  const int64_t short_list = model_.decoder.matrix().rows - count;
  Ranking head(std::min(k, short_list));
  Tally tally;
  tally.bar = NONE;
  std::vector<float> of_cluster(count);
  rows_of(model_.decoder, model_.decoder_bias.data(), x, 1, &tally,
          [&](int, int64_t first, int64_t rows, const float* scores, int64_t) {
            const int64_t listed = std::clamp<int64_t>(short_list - first, 0, rows);
            head.offer(scores, listed, first, tally);
            for (int64_t n = listed; n < rows; ++n) of_cluster[first + n - short_list] = scores[n];
          });
  const float head_sum = normaliser(&tally, 1, 1);
  Ranking best(k);
  for (const auto& entry : head.entries) best.offer({entry.score - head_sum, entry.id});
  for (float& score : of_cluster) score -= head_sum;
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return Ranking::better({of_cluster[a], a}, {of_cluster[b], b});
  });
  for (int64_t number : order) {
    if (best.full() && of_cluster[number] < best.bar()) break;
    const Cluster& cluster = model_.clusters[number];
    const int64_t size = cluster.inner.matrix().rows;
    space.small.shape(1, size);
    product(cluster.inner, 0, size, x, nullptr, space.small.at(0), space.small.stride);
    space.small.seal(*kernels_, 0, int8_);
    Ranking inside(std::min(k, cluster.last - cluster.first));
    tally = Tally();
    tally.bar = NONE;
    rows_of(cluster.outer, nullptr, space.small.vectors(0, 1), 1, &tally,
            [&](int, int64_t first, int64_t rows, const float* scores, int64_t) {
              inside.offer(scores, rows, cluster.first + first, tally);
            });
    const float sum = normaliser(&tally, 1, 1);
    for (const auto& entry : inside.entries)
      best.offer({of_cluster[number] + (entry.score - sum), entry.id});
  }
  best.sort();
  for (int64_t n = 0; n < k; ++n) {
    ids[n] = best.entries[n].id;
    if (log_probs) log_probs[n] = best.entries[n].score;
  }
}

void Engine::top_k(const Source& source, int64_t N, int64_t k, int64_t* ids, float* log_probs) {
  const bool clusters = !model_.clusters.empty();
  const bool screened =
      !log_probs && !clusters && model_.decoder.matrix().format != Format::int8;
  auto space = take();
  for (int64_t start = 0; start < N; start += BLOCK) {
    const int64_t count = std::min(BLOCK, N - start);
    const Vectors read = to_read(*space, source, start, count, int8_ || screened);
    int64_t* to = ids + start * k;
    float* and_to = log_probs ? log_probs + start * k : nullptr;
    if (!clusters && !screened) {
      rank_flat(read, k, to, and_to);
      continue;
    }
    for (int64_t v = 0; v < count; ++v) {
      if (clusters)
        rank_clusters(*space, space->read.vectors(v, 1), k, to + v * k,
                      and_to ? and_to + v * k : nullptr);
      else
        rank_screened(space->read.vectors(v, 1), k, to + v * k);
    }
  }
  give(std::move(space));
}

void Engine::decode(const Source& source, int64_t N, float* scores) {
  const int64_t V = model_.words;
  const int64_t count_clusters = static_cast<int64_t>(model_.clusters.size());
  const int64_t listed = model_.decoder.matrix().rows - count_clusters;
  auto space = take();
  for (int64_t start = 0; start < N; start += BLOCK) {
    const int64_t count = std::min(BLOCK, N - start);
    const Vectors read = to_read(*space, source, start, count, int8_);
    float* to = scores + start * V;
    std::vector<float> of_cluster(count * count_clusters);
    std::vector<Tally> tallies(count_clusters ? count : 0);
    rows_of(model_.decoder, model_.decoder_bias.data(), read,
            count_clusters ? 1 : parts_for(model_.decoder.matrix()),
            count_clusters ? tallies.data() : nullptr,
            [&](int, int64_t first, int64_t rows, const float* from, int64_t stride) {
              const int64_t words = std::clamp<int64_t>(listed - first, 0, rows);
              for (int64_t v = 0; v < count; ++v) {
                const float* line = from + v * stride;
                std::memcpy(to + v * V + first, line, words * sizeof(float));
                for (int64_t n = words; n < rows; ++n)
                  of_cluster[v * count_clusters + first + n - listed] = line[n];
              }
            });
    if (!count_clusters) continue;
    for (int64_t v = 0; v < count; ++v) {
      const float sum = normaliser(&tallies[v], 1, 1);
      for (int64_t n = 0; n < listed; ++n) to[v * V + n] -= sum;
      for (int64_t c = 0; c < count_clusters; ++c) of_cluster[v * count_clusters + c] -= sum;
    }
    for (int64_t c = 0; c < count_clusters; ++c) {
      const Cluster& cluster = model_.clusters[c];
      const int64_t size = cluster.inner.matrix().rows;
      space->small.shape(count, size);
      product(cluster.inner, 0, size, read, nullptr, space->small.at(0),
              space->small.stride);
      for (int64_t v = 0; v < count; ++v) space->small.seal(*kernels_, v, int8_);
      tallies.assign(count, Tally());
      rows_of(cluster.outer, nullptr, space->small.vectors(0, count), 1, tallies.data(),
              [&](int, int64_t first, int64_t rows, const float* from, int64_t stride) {
                for (int64_t v = 0; v < count; ++v) {
                  std::memcpy(to + v * V + cluster.first + first, from + v * stride,
                              rows * sizeof(float));
                }
              });
      for (int64_t v = 0; v < count; ++v) {
        const float sum = normaliser(&tallies[v], 1, 1), outer = of_cluster[v * count_clusters + c];
        for (int64_t n = cluster.first; n < cluster.last; ++n)
          to[v * V + n] = outer + (to[v * V + n] - sum);
      }
    }
  }
  give(std::move(space));
}

void Engine::log_prob(const Source& source, int64_t N, const int64_t* tokens,
                      float* log_probs) {
  const int64_t count_clusters = static_cast<int64_t>(model_.clusters.size());
  const int64_t listed = model_.decoder.matrix().rows - count_clusters;
  const auto cluster_of = [&](int64_t token) {
    int64_t c = 0;
    while (token >= model_.clusters[c].last) ++c;
    return c;
  };
  auto space = take();
  for (int64_t start = 0; start < N; start += BLOCK) {
    const int64_t count = std::min(BLOCK, N - start);
    const Vectors read = to_read(*space, source, start, count, int8_);
    std::vector<int64_t> rows_wanted(count);
    for (int64_t v = 0; v < count; ++v) {
      const int64_t token = tokens[start + v];
      rows_wanted[v] = token < listed ? token : listed + cluster_of(token);
    }
    // The scores of the rows wanted, less the normaliser.
    const auto pick = [&](const Weights& weights, const float* bias, const Vectors& vectors,
                          const int64_t* wanted, float* found) {
      const int parts = parts_for(weights.matrix());
      std::vector<Tally> tallies(parts * vectors.count);
      rows_of(weights, bias, vectors, parts, tallies.data(),
              [&](int, int64_t first, int64_t rows, const float* scores, int64_t stride) {
                for (int64_t v = 0; v < vectors.count; ++v) {
                  if (wanted[v] >= first && wanted[v] < first + rows)
                    found[v] = scores[v * stride + wanted[v] - first];
                }
              });
      for (int64_t v = 0; v < vectors.count; ++v)
        found[v] -= normaliser(&tallies[v], parts, vectors.count);
    };
    float* to = log_probs + start;
    pick(model_.decoder, model_.decoder_bias.data(), read, rows_wanted.data(),
         to);
    for (int64_t c = 0; c < count_clusters; ++c) {
      const Cluster& cluster = model_.clusters[c];
      std::vector<int64_t> inside, wanted;
      for (int64_t v = 0; v < count; ++v) {
        if (rows_wanted[v] != listed + c) continue;
        inside.push_back(v);
        wanted.push_back(tokens[start + v] - cluster.first);
      }
      const int64_t size = cluster.inner.matrix().rows;
      const int64_t members = static_cast<int64_t>(inside.size());
      if (!members) continue;
      space->small.shape(members, size);
      for (int64_t n = 0; n < members; ++n) {
        product(cluster.inner, 0, size, space->read.vectors(inside[n], 1), nullptr,
                space->small.at(n), space->small.stride);
        space->small.seal(*kernels_, n, int8_);
      }
      std::vector<float> found(members);
      pick(cluster.outer, nullptr, space->small.vectors(0, members), wanted.data(), found.data());
      for (int64_t n = 0; n < members; ++n) to[inside[n]] += found[n];
    }
  }
  give(std::move(space));
}

void Engine::score(const int64_t* tokens, int64_t T, int64_t B, float* state, float* log_probs) {
  const int64_t P = read_size(), block = std::max<int64_t>(1, BLOCK / B);
  std::vector<float> hidden((block + 1) * B * P);
  {
    auto space = take();
    for (int64_t v = 0; v < B; v += BLOCK) {
      const int64_t some = std::min(BLOCK, B - v);
      to_read(*space, {state, true}, v, some, int8_);
      for (int64_t n = 0; n < some; ++n)
        std::memcpy(hidden.data() + (v + n) * P, space->read.at(n), P * sizeof(float));
    }
    give(std::move(space));
  }
  for (int64_t start = 0; start < T; start += block) {
    const int64_t count = std::min(block, T - start);
    read(tokens + start * B, count, B, state, hidden.data() + B * P);
    log_prob({hidden.data(), false}, count * B, tokens + start * B, log_probs + start * B);
    std::memmove(hidden.data(), hidden.data() + count * B * P, B * P * sizeof(float));
  }
}

}  // namespace carousel
