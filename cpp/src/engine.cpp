#include "carousel/engine.h"

#include <algorithm>
#include <cstring>

namespace carousel {
namespace {

constexpr int64_t BYTES_PER_THREAD = 256 << 10;  // of weights, from which a thread's help pays

}  // namespace

Engine::Engine(const Kernels* kernels, int threads, Model model)
    : kernels_(kernels), model_(std::move(model)), workspaces_(threads, model_.layers.size()) {
  const auto look_at = [&](const Weights& weights) {
    has_int8_ |= weights.matrix().format == NumberFormat::int8;
  };
  for (const Layer& layer : model_.layers) {
    look_at(layer.input);
    look_at(layer.hidden);
  }
  if (model_.projection) look_at(*model_.projection);
  look_at(model_.decoder);
  for (const Cluster& cluster : model_.clusters) {
    look_at(cluster.inner);
    look_at(cluster.outer);
  }
}

Engine::~Engine() = default;

int64_t Engine::state_size() const {
  return state_parts(model_.cell) * layers() * model_.hidden_size;
}

int64_t Engine::bytes_read() const {
  int64_t bytes = model_.decoder.bytes() + 4 * static_cast<int64_t>(model_.decoder_bias.size());
  for (const Layer& layer : model_.layers) {
    bytes += layer.input.bytes() + layer.hidden.bytes();
    for (const auto* bias : {&layer.input_bias, &layer.hidden_bias, &layer.peephole})
      bytes += 4 * static_cast<int64_t>(bias->size());
  }
  return bytes + (model_.projection ? model_.projection->bytes() : 0);
}

int Engine::threads_for(const Matrix& m, const Workspace& workspace) const {
  const int64_t bytes = m.rows * m.columns * bytes_of(m.format);
  return static_cast<int>(
      std::clamp<int64_t>(bytes / BYTES_PER_THREAD, 1, workspace.threads->threads()));
}

// Rows `first` to `last` of a matrix times vectors, shared among threads where that pays.
void Engine::multiply(Workspace& workspace, const Weights& weights, int64_t first, int64_t last,
                      const Vectors& vectors, const float* bias, float* y, int64_t stride) {
  const Matrix& m = weights.matrix();
  const int parts = threads_for(m, workspace);
  const auto multiply_rows = [&](int64_t from, int64_t to) {
    kernels_->multiply(m, from, to, vectors, bias, y + from - first, stride,
                       product_scratch(m.columns), nullptr);
  };
  if (parts == 1) return multiply_rows(first, last);
  const int64_t share = padded((last - first + parts - 1) / parts);
  workspace.threads->run(parts, [&](int part) {
    const int64_t from = first + part * share, to = std::min(from + share, last);
    if (from < to) multiply_rows(from, to);
  });
}

// Vectors `start` to `start + count` as the decoder reads them, in the workspace.
Vectors Engine::decoder_input(Workspace& workspace, const DecoderInput& input, int64_t start,
                              int64_t count, bool quantize) {
  const int64_t H = model_.hidden_size, P = decoder_width(), S = state_size();
  const bool project = input.states && model_.projection;
  VectorBatch& copies = project ? workspace.input : workspace.decoder_input;
  copies.resize(count, project ? H : P);
  for (int64_t v = 0; v < count; ++v) {
    const float* vector = input.states ? input.data + (start + v) * S + (layers() - 1) * H
                                       : input.data + (start + v) * P;
    std::memcpy(copies[v], vector, copies.size() * sizeof(float));
    copies.finish(*kernels_, v, quantize);
  }
  if (project) {
    VectorBatch& projected = workspace.decoder_input;
    projected.resize(count, P);
    multiply(workspace, *model_.projection, 0, P, copies.view(0, count), nullptr, projected[0],
             projected.stride());
    for (int64_t v = 0; v < count; ++v) projected.finish(*kernels_, v, quantize);
  }
  return workspace.decoder_input.view(0, count);
}

}  // namespace carousel
