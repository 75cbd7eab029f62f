// The pointwise half of a step: gates and states, clamped and written where that is asked for.
#pragma once

#include "simd.h"

namespace carousel {
namespace {

// A gate or state as its clamp has it, written out where that is asked for.
template <bool traced>
inline Floats trace(const CellStep& s, int point, int64_t k, Floats value) {
  if constexpr (traced) {
    const PointBuffers& points = *s.points;
    if (points.scale[point])
      value =
          load<Floats>(points.scale[point] + k) * value + load<Floats>(points.offset[point] + k);
    if (points.out[point]) store(points.out[point] + k, value);
  }
  return value;
}

// W x + R h + b at one place of the gates.
inline Floats gate_input(const CellStep& s, int64_t place) {
  return load<Floats>(s.from_input + place) + load<Floats>(s.from_hidden + place);
}

template <bool traced>
void update_rnn(const CellStep& s) {
  for (int64_t k = 0; k < s.hidden_size; k += WIDTH) {
    store(s.h_out + k, trace<traced>(s, 0, k, tanh(gate_input(s, k))));
  }
}

// The GRU from its candidate's pre-activation on.
template <bool traced>
inline void gru_output(const CellStep& s, int64_t k, Floats z, Floats candidate) {
  const Floats n = trace<traced>(s, 2, k, tanh(candidate));
  const Floats h = load<Floats>(s.h + k);
  store(s.h_out + k, trace<traced>(s, 3, k, (1.0f - z) * n + z * h));
}

template <bool traced>
void update_gru(const CellStep& s) {
  const int64_t H = s.hidden_size;
  for (int64_t k = 0; k < H; k += WIDTH) {
    const Floats r = trace<traced>(s, 0, k, sigmoid(gate_input(s, k)));
    const Floats z = trace<traced>(s, 1, k, sigmoid(gate_input(s, H + k)));
    const Floats x_n = load<Floats>(s.from_input + 2 * H + k);
    gru_output<traced>(s, k, z, x_n + r * load<Floats>(s.from_hidden + 2 * H + k));
  }
}

template <bool traced>
void update_gru_gates(const CellStep& s) {
  for (int64_t k = 0; k < s.hidden_size; k += WIDTH) {
    const Floats r = trace<traced>(s, 0, k, sigmoid(gate_input(s, k)));
    const Floats z = trace<traced>(s, 1, k, sigmoid(gate_input(s, s.hidden_size + k)));
    store(s.reset_h + k, r * load<Floats>(s.h + k));
    store(s.update_gate + k, z);
  }
}

// Here `from_hidden` is R_n (r ⊙ h) + b_hn alone.
template <bool traced>
void update_gru_reset_before(const CellStep& s) {
  const float* x_n = s.from_input + 2 * s.hidden_size;
  for (int64_t k = 0; k < s.hidden_size; k += WIDTH)
    gru_output<traced>(s, k, load<Floats>(s.update_gate + k),
                       load<Floats>(x_n + k) + load<Floats>(s.from_hidden + k));
}

template <bool traced, bool coupled, bool peephole>
void update_lstm(const CellStep& s) {
  const int64_t H = s.hidden_size;
  const int64_t f_start = H, g_start = coupled ? H : 2 * H, o_start = g_start + H;
  const int64_t o_peephole = coupled ? H : 2 * H;
  for (int64_t k = 0; k < H; k += WIDTH) {
    Floats c = load<Floats>(s.c + k);
    Floats a_i = gate_input(s, k);
    if constexpr (peephole) a_i += load<Floats>(s.peephole + k) * c;
    const Floats i = trace<traced>(s, 0, k, sigmoid(a_i));
    Floats f;
    if constexpr (coupled) {
      f = 1.0f - i;
    } else {
      Floats a_f = gate_input(s, f_start + k);
      if constexpr (peephole) a_f += load<Floats>(s.peephole + H + k) * c;
      f = sigmoid(a_f);
    }
    f = trace<traced>(s, 1, k, f);
    const Floats g = trace<traced>(s, 2, k, tanh(gate_input(s, g_start + k)));
    c = trace<traced>(s, 3, k, f * c + i * g);
    Floats a_o = gate_input(s, o_start + k);
    if constexpr (peephole) a_o += load<Floats>(s.peephole + o_peephole + k) * c;
    const Floats o = trace<traced>(s, 4, k, sigmoid(a_o));
    store(s.c_out + k, c);
    store(s.h_out + k, trace<traced>(s, 5, k, o * tanh(c)));
  }
}

template <bool traced>
void update(const CellStep& s) {
  switch (s.cell) {
    case Cell::rnn: return update_rnn<traced>(s);
    case Cell::gru: return update_gru<traced>(s);
    case Cell::gru_reset_before: return update_gru_reset_before<traced>(s);
    case Cell::lstm:
      return s.peephole ? update_lstm<traced, false, true>(s)
                        : update_lstm<traced, false, false>(s);
    case Cell::cifg:
      return s.peephole ? update_lstm<traced, true, true>(s) : update_lstm<traced, true, false>(s);
  }
}

void update_cell(const CellStep& s) { s.points ? update<true>(s) : update<false>(s); }

void update_reset_gate(const CellStep& s) {
  s.points ? update_gru_gates<true>(s) : update_gru_gates<false>(s);
}

}  // namespace
}  // namespace carousel
