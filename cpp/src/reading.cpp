// Reading: tokens and a state in, the state after them and what the decoder reads out.
#include <algorithm>
#include <cstring>

#include "carousel/engine.h"

namespace carousel {
namespace {

const float* data_or_null(const std::vector<float>& values, int64_t start = 0) {
  return values.empty() ? nullptr : values.data() + start;
}

}  // namespace

void Engine::read(const int64_t* tokens, int64_t T, int64_t B, float* state, float* hidden,
                  const TraceRequest* trace) {
  WorkspaceLease workspace(workspaces_);
  const int64_t block = std::max<int64_t>(1, std::min(T, MAX_VECTORS / B));
  const int64_t gates = padded(gate_count(model_.cell) * model_.hidden_size);
  workspace->from_input.grow(block * B * gates + TILE_ROWS);
  workspace->from_hidden.grow(B * gates + 2 * TILE_ROWS);
  load_state(*workspace, B, state);
  for (int64_t start = 0; start < T; start += block) {
    const int64_t count = std::min(block, T - start);
    read_block(*workspace, tokens + start * B, start, count, B, trace);
    if (hidden) write_hidden(*workspace, count * B, hidden + start * B * decoder_width());
  }
  store_state(*workspace, B, state);
}

void Engine::load_state(Workspace& workspace, int64_t B, const float* state) {
  const int64_t L = layers(), H = model_.hidden_size, S = state_size(), stride = padded(H);
  const bool has_c = state_parts(model_.cell) == 2;
  if (model_.cell == Cell::gru_reset_before) {
    workspace.reset_h.resize(B, H);
    workspace.update_gate.grow(B * stride);
  }
  for (int64_t l = 0; l < L; ++l) {
    workspace.h[l].resize(B, H);
    if (has_c) workspace.c[l].grow(B * stride);
    for (int64_t b = 0; b < B; ++b) {
      const float* from = state + b * S + l * H;
      std::memcpy(workspace.h[l][b], from, H * sizeof(float));
      workspace.h[l].finish(*kernels_, b, has_int8_);
      if (has_c) {
        float* c = workspace.c[l].get() + b * stride;
        std::memcpy(c, from + L * H, H * sizeof(float));
        std::fill(c + H, c + stride, 0.0f);
      }
    }
  }
}

void Engine::store_state(Workspace& workspace, int64_t B, float* state) {
  const int64_t L = layers(), H = model_.hidden_size, S = state_size(), stride = padded(H);
  for (int64_t l = 0; l < L; ++l) {
    for (int64_t b = 0; b < B; ++b) {
      float* to = state + b * S + l * H;
      std::memcpy(to, workspace.h[l][b], H * sizeof(float));
      if (state_parts(model_.cell) == 2)
        std::memcpy(to + L * H, workspace.c[l].get() + b * stride, H * sizeof(float));
    }
  }
}

// Reads tokens [count, B], the first of which is the call's token `start`. What the last layer
// makes of them is left in workspace.input.
void Engine::read_block(Workspace& workspace, const int64_t* tokens, int64_t start, int64_t count,
                        int64_t B, const TraceRequest* trace) {
  const int64_t H = model_.hidden_size, gates = gate_count(model_.cell) * H;
  VectorBatch &input = workspace.input, &output = workspace.output;
  input.resize(count * B, model_.embedding.columns);
  for (int64_t v = 0; v < count * B; ++v) model_.embed(tokens[v], input[v]);
  for (int64_t l = 0; l < layers(); ++l) {
    const Layer& layer = model_.layers[l];
    for (int64_t v = 0; v < count * B; ++v) input.finish(*kernels_, v, has_int8_);
    multiply(workspace, layer.input, 0, gates, input.view(0, count * B),
             data_or_null(layer.input_bias), workspace.from_input.get(), padded(gates));
    output.resize(count * B, H);
    for (int64_t t = 0; t < count; ++t) {
      if (!model_.carry_state) start_lines(workspace, l, tokens + t * B, B);
      if (trace) prepare_points(workspace, *trace, l, start + t, B);
      step_layer(workspace, l, B, t, trace ? workspace.points.data() : nullptr);
      if (trace) write_points(workspace, *trace, l, start + t, B);
      for (int64_t b = 0; b < B; ++b)
        std::memcpy(output[t * B + b], workspace.h[l][b], H * sizeof(float));
    }
    std::swap(input, output);
  }
}

// Sets the state of one layer to zero in the sessions whose next token ends a line.
void Engine::start_lines(Workspace& workspace, int64_t layer, const int64_t* tokens, int64_t B) {
  const int64_t H = model_.hidden_size, stride = padded(H);
  for (int64_t b = 0; b < B; ++b) {
    if (tokens[b] != END_OF_LINE_ID) continue;
    std::fill_n(workspace.h[layer][b], H, 0.0f);
    workspace.h[layer].finish(*kernels_, b, has_int8_);
    if (state_parts(model_.cell) == 2) std::fill_n(workspace.c[layer].get() + b * stride, H, 0.0f);
  }
}

// What the decoder reads of workspace.input, [count, P].
void Engine::write_hidden(Workspace& workspace, int64_t count, float* hidden) {
  const int64_t P = decoder_width();
  VectorBatch* vectors = &workspace.input;
  if (model_.projection) {
    for (int64_t v = 0; v < count; ++v) vectors->finish(*kernels_, v, has_int8_);
    VectorBatch& projected = workspace.decoder_input;
    projected.resize(count, P);
    multiply(workspace, *model_.projection, 0, P, vectors->view(0, count), nullptr, projected[0],
             projected.stride());
    vectors = &projected;
  }
  for (int64_t v = 0; v < count; ++v) std::memcpy(hidden + v * P, (*vectors)[v], P * sizeof(float));
}

// One token of every session through one layer, whose W x + b is in `from_input` at token `t` of
// the block.
void Engine::step_layer(Workspace& workspace, int64_t layer, int64_t B, int64_t t,
                        const PointBuffers* points) {
  const Layer& weights = model_.layers[layer];
  const int64_t H = model_.hidden_size, gates = gate_count(model_.cell) * H;
  const int64_t gate_stride = padded(gates), stride = padded(H);
  const bool reset_before = model_.cell == Cell::gru_reset_before;
  VectorBatch& h = workspace.h[layer];
  float* c = workspace.c[layer].get();
  float* from_hidden = workspace.from_hidden.get();
  // Where the candidate waits for the reset, its rows begin wherever 2 H lies in the tiles; the
  // gates' rows end there.
  multiply(workspace, weights.hidden, 0, reset_before ? 2 * H : gates, h.view(0, B),
           data_or_null(weights.hidden_bias), from_hidden, gate_stride);
  const auto step_of = [&](int64_t b) {
    CellStep step{};
    step.cell = model_.cell;
    step.hidden_size = H;
    step.from_input = workspace.from_input.get() + (t * B + b) * gate_stride;
    step.from_hidden = from_hidden + b * gate_stride;
    step.h = step.h_out = h[b];
    step.c = step.c_out = c ? c + b * stride : nullptr;
    step.peephole = data_or_null(weights.peephole);
    step.points = points ? points + b : nullptr;
    if (reset_before) {
      step.reset_h = workspace.reset_h[b];
      step.update_gate = workspace.update_gate.get() + b * stride;
    }
    return step;
  };
  if (reset_before) {
    for (int64_t b = 0; b < B; ++b) {
      kernels_->update_reset_gate(step_of(b));
      workspace.reset_h.finish(*kernels_, b, has_int8_);
    }
    const int64_t first = 2 * H / TILE_ROWS * TILE_ROWS;  // a product starts at a tile's first row
    multiply(workspace, weights.hidden, first, 3 * H, workspace.reset_h.view(0, B),
             data_or_null(weights.hidden_bias), from_hidden, gate_stride);
    from_hidden += 2 * H - first;
  }
  for (int64_t b = 0; b < B; ++b) {
    kernels_->update_cell(step_of(b));
    h.finish(*kernels_, b, has_int8_);
  }
}

// The buffers of the points of token t in one layer, and the clamps that act there, padded.
void Engine::prepare_points(Workspace& workspace, const TraceRequest& trace, int64_t layer,
                            int64_t t, int64_t B) {
  const int64_t H = model_.hidden_size, stride = padded(H), count = B * points();
  float* values = workspace.point_values.grow(count * stride);
  float* scales = workspace.clamp_scales.grow(count * stride);
  float* offsets = workspace.clamp_offsets.grow(count * stride);
  workspace.points.assign(B, PointBuffers{});
  const auto copy_padded = [&](const float* from, float* to) {
    std::memcpy(to, from, H * sizeof(float));
    std::fill(to + H, to + stride, 0.0f);
    return to;
  };
  for (int64_t b = 0; b < B; ++b) {
    PointBuffers& buffers = workspace.points[b];
    const int64_t row = (t * B + b) * H;
    for (int64_t p = 0; p < points(); ++p, values += stride, scales += stride, offsets += stride) {
      if (trace.out[layer][p]) buffers.out[p] = values;
      const Clamp& clamp = trace.clamps[layer][p];
      if (!clamp.scale) continue;
      buffers.scale[p] = copy_padded(clamp.scale + row, scales);
      buffers.offset[p] = copy_padded(clamp.offset + row, offsets);
    }
  }
}

// The points of token t in one layer to where the caller wants them.
void Engine::write_points(const Workspace& workspace, const TraceRequest& trace, int64_t layer,
                          int64_t t, int64_t B) const {
  const int64_t H = model_.hidden_size;
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t p = 0; p < points(); ++p) {
      if (const float* values = workspace.points[b].out[p])
        std::memcpy(trace.out[layer][p] + (t * B + b) * H, values, H * sizeof(float));
    }
  }
}

}  // namespace carousel
