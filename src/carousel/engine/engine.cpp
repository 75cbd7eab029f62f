#include "engine.h"

#include <algorithm>
#include <cstring>

#include "space.h"

namespace carousel {
namespace {

constexpr int64_t WORTH = 256 << 10;  // bytes of weights from which a thread's help pays

}  // namespace

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

// One word of every session through one layer, whose W x + b is in `from_x` at word `t`.
void Engine::step_layer(Space& space, int64_t layer, int64_t B, int64_t t, const Watch* watches) {
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
    u.watch = watches ? watches + b : nullptr;
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

// Word t of session b is tokens[t * B + b].
void Engine::run(Space& space, const int64_t* tokens, int64_t T, int64_t B, float* state,
                 float* hidden, const Tracer* tracer) {
  const int64_t L = layers(), H = model_.hidden, S = state_size(), tall = padded(H);
  const int64_t wide = padded(gates() * H), E = model_.embedding.columns, P = read_size();
  const int64_t block = std::max<int64_t>(1, std::min(T, MANY / B));
  const bool cells = parts() == 2;
  space.from_x.grow(block * B * wide + TILE);
  space.from_h.grow(B * wide + 2 * TILE);
  if (model_.cell == Cell::gru_reset_before) {
    space.reset.shape(B, H);
    space.keep.grow(B * tall);
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
      model_.embedding.row(tokens[start * B + v], space.x.at(v));
    for (int64_t l = 0; l < L; ++l) {
      for (int64_t v = 0; v < count * B; ++v) space.x.seal(*kernels_, v, int8_);
      const Layer& layer = model_.layers[l];
      product(layer.input, 0, gates() * H, space.x.vectors(0, count * B),
              layer.input_bias.empty() ? nullptr : layer.input_bias.data(), space.from_x.get(),
              wide);
      space.y.shape(block * B, H);
      for (int64_t t = 0; t < count; ++t) {
        if (tracer) prepare_watches(space, *tracer, l, start + t, B);
        step_layer(space, l, B, t, tracer ? space.watches.data() : nullptr);
        if (tracer) write_points(space, *tracer, l, start + t, B);
        for (int64_t b = 0; b < B; ++b)
          std::memcpy(space.y.at(t * B + b), space.h[l].at(b), H * sizeof(float));
      }
      std::swap(space.x, space.y);
    }
    if (!hidden) continue;
    float* to = hidden + start * B * P;
    if (model_.projection) {
      for (int64_t v = 0; v < count * B; ++v) space.x.seal(*kernels_, v, int8_);
      space.read.shape(count * B, P);
      product(*model_.projection, 0, P, space.x.vectors(0, count * B), nullptr,
              space.read.values.get(), space.read.stride);
    }
    for (int64_t v = 0; v < count * B; ++v)
      std::memcpy(to + v * P, model_.projection ? space.read.at(v) : space.x.at(v),
                  P * sizeof(float));
  }
  for (int64_t l = 0; l < L; ++l) {
    for (int64_t b = 0; b < B; ++b) {
      float* to = state + b * S + l * H;
      std::memcpy(to, space.h[l].at(b), H * sizeof(float));
      if (cells) std::memcpy(to + L * H, space.c[l].get() + b * tall, H * sizeof(float));
    }
  }
}

// The buffers of the points of word t in one layer, and the clamps that act there, padded.
void Engine::prepare_watches(Space& space, const Tracer& tracer, int64_t layer, int64_t t,
                             int64_t B) {
  const int64_t H = model_.hidden, tall = padded(H), count = B * points();
  float* values = space.points.grow(count * tall);
  float* scales = space.scales.grow(count * tall);
  float* offsets = space.offsets.grow(count * tall);
  space.watches.assign(B, Watch{});
  const auto pad = [&](const float* from, float* to) {
    std::memcpy(to, from, H * sizeof(float));
    std::fill(to + H, to + tall, 0.0f);
    return to;
  };
  for (int64_t b = 0; b < B; ++b) {
    Watch& watch = space.watches[b];
    for (int64_t p = 0; p < points(); ++p, values += tall, scales += tall, offsets += tall) {
      if (tracer.out[layer][p]) watch.out[p] = values;
      const Clamp& clamp = tracer.clamps[layer][p];
      if (!clamp.scale) continue;
      watch.scale[p] = pad(clamp.scale + (t * B + b) * H, scales);
      watch.offset[p] = pad(clamp.offset + (t * B + b) * H, offsets);
    }
  }
}

// The points of word t in one layer to where the tracer wants them.
void Engine::write_points(const Space& space, const Tracer& tracer, int64_t layer, int64_t t,
                          int64_t B) const {
  const int64_t H = model_.hidden;
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t p = 0; p < points(); ++p) {
      if (const float* values = space.watches[b].out[p])
        std::memcpy(tracer.out[layer][p] + (t * B + b) * H, values, H * sizeof(float));
    }
  }
}

void Engine::read(const int64_t* tokens, int64_t T, int64_t B, float* state, float* hidden,
                  const Tracer* tracer) {
  auto space = take();
  run(*space, tokens, T, B, state, hidden, tracer);
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

}  // namespace carousel
