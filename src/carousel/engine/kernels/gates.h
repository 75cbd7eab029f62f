// The pointwise half of a step: gates and states, watched and held where that is asked for.
#pragma once

#include "simd.h"

namespace carousel {
namespace {

// A gate as its clamp has it, and written out where that is asked for.
template <bool watched>
inline Floats see(const Update& u, int point, int64_t k, Floats value) {
  if constexpr (watched) {
    const Watch& w = *u.watch;
    if (w.scale[point])
      value = load<Floats>(w.scale[point] + k) * value + load<Floats>(w.offset[point] + k);
    if (w.out[point]) save(w.out[point] + k, value);
  }
  return value;
}

template <bool watched>
void update_rnn(const Update& u) {
  for (int64_t k = 0; k < u.size; k += WIDTH) {
    const Floats h = tanh(load<Floats>(u.x + k) + load<Floats>(u.r + k));
    save(u.h_out + k, see<watched>(u, 0, k, h));
  }
}

// The GRU from its candidate's pre-activation on.
template <bool watched>
inline void new_h(const Update& u, int64_t k, Floats z, Floats candidate) {
  const Floats n = see<watched>(u, 2, k, tanh(candidate));
  const Floats h = load<Floats>(u.h + k);
  save(u.h_out + k, see<watched>(u, 3, k, (1.0f - z) * n + z * h));
}

template <bool watched>
void update_gru(const Update& u) {
  const float *x_z = u.x + u.size, *x_n = x_z + u.size, *r_z = u.r + u.size, *r_n = r_z + u.size;
  for (int64_t k = 0; k < u.size; k += WIDTH) {
    const Floats r =
        see<watched>(u, 0, k, sigmoid(load<Floats>(u.x + k) + load<Floats>(u.r + k)));
    const Floats z = see<watched>(u, 1, k, sigmoid(load<Floats>(x_z + k) + load<Floats>(r_z + k)));
    new_h<watched>(u, k, z, load<Floats>(x_n + k) + r * load<Floats>(r_n + k));
  }
}

template <bool watched>
void reset_gru(const Update& u) {
  const float *x_z = u.x + u.size, *r_z = u.r + u.size;
  for (int64_t k = 0; k < u.size; k += WIDTH) {
    const Floats r =
        see<watched>(u, 0, k, sigmoid(load<Floats>(u.x + k) + load<Floats>(u.r + k)));
    const Floats z = see<watched>(u, 1, k, sigmoid(load<Floats>(x_z + k) + load<Floats>(r_z + k)));
    save(u.reset + k, r * load<Floats>(u.h + k));
    save(u.keep + k, z);
  }
}

// Here `r` is R_n (r ⊙ h) + b_hn alone.
template <bool watched>
void update_gru_reset_before(const Update& u) {
  const float* x_n = u.x + 2 * u.size;
  for (int64_t k = 0; k < u.size; k += WIDTH)
    new_h<watched>(u, k, load<Floats>(u.keep + k), load<Floats>(x_n + k) + load<Floats>(u.r + k));
}

template <bool watched, bool coupled, bool peephole>
void update_lstm(const Update& u) {
  const int64_t H = u.size;
  const int64_t at_f = H, at_g = coupled ? H : 2 * H, at_o = at_g + H;
  const float *p_i = u.peephole, *p_f = p_i + H, *p_o = p_i + (coupled ? H : 2 * H);
  for (int64_t k = 0; k < H; k += WIDTH) {
    const auto gate = [&](int64_t at) {
      return load<Floats>(u.x + at + k) + load<Floats>(u.r + at + k);
    };
    Floats c = load<Floats>(u.c + k);
    Floats a_i = gate(0);
    if constexpr (peephole) a_i += load<Floats>(p_i + k) * c;
    const Floats i = see<watched>(u, 0, k, sigmoid(a_i));
    Floats f;
    if constexpr (coupled) {
      f = 1.0f - i;
    } else {
      Floats a_f = gate(at_f);
      if constexpr (peephole) a_f += load<Floats>(p_f + k) * c;
      f = sigmoid(a_f);
    }
    f = see<watched>(u, 1, k, f);
    const Floats g = see<watched>(u, 2, k, tanh(gate(at_g)));
    c = see<watched>(u, 3, k, f * c + i * g);
    Floats a_o = gate(at_o);
    if constexpr (peephole) a_o += load<Floats>(p_o + k) * c;
    const Floats o = see<watched>(u, 4, k, sigmoid(a_o));
    save(u.c_out + k, c);
    save(u.h_out + k, see<watched>(u, 5, k, o * tanh(c)));
  }
}

template <bool watched>
void update_cell(const Update& u) {
  switch (u.cell) {
    case Cell::rnn: return update_rnn<watched>(u);
    case Cell::gru: return update_gru<watched>(u);
    case Cell::gru_reset_before: return update_gru_reset_before<watched>(u);
    case Cell::lstm:
      return u.peephole ? update_lstm<watched, false, true>(u)
                        : update_lstm<watched, false, false>(u);
    case Cell::cifg:
      return u.peephole ? update_lstm<watched, true, true>(u)
                        : update_lstm<watched, true, false>(u);
  }
}

void update(const Update& u) { u.watch ? update_cell<true>(u) : update_cell<false>(u); }

void reset(const Update& u) { u.watch ? reset_gru<true>(u) : reset_gru<false>(u); }

}  // namespace
}  // namespace carousel
