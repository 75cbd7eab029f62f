// What the tests in C++ share: a check that says where it failed, and tiny models.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include "carousel/engine.h"

inline std::atomic<int> failures{0};

#define CHECK(condition)                                                   \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                          \
    }                                                                      \
  } while (false)

#define CHECK_CLOSE(found, expected) CHECK(std::fabs((found) - (expected)) < 1e-5)

// An RNN with the weights of a tiny model, which it owns.
struct TinyModel {
  int64_t V, E, H;
  std::vector<float> embedding, input, hidden, decoder, bias;

  // The k-th of `count` weights, all different and between -1 and 1.
  static std::vector<float> numbers(int64_t count, float seed) {
    std::vector<float> values(count);
    for (int64_t k = 0; k < count; ++k) values[k] = std::sin(seed + 1.7f * static_cast<float>(k));
    return values;
  }

  TinyModel(int64_t V, int64_t E, int64_t H)
      : V(V),
        E(E),
        H(H),
        embedding(numbers(V * E, 1)),
        input(numbers(H * E, 2)),
        hidden(numbers(H * H, 3)),
        decoder(numbers(V * H, 4)),
        bias(numbers(V, 5)) {}

  std::unique_ptr<carousel::Engine> engine(const carousel::Kernels* kernels, int threads) const {
    using carousel::NumberFormat;
    carousel::Model model;
    model.cell = carousel::Cell::rnn;
    model.vocab_size = V;
    model.hidden_size = H;
    model.embedding = {false, NumberFormat::float32, embedding.data(), nullptr, E};
    carousel::Layer layer;
    layer.input = carousel::Weights(NumberFormat::float32, input.data(), H, E);
    layer.hidden = carousel::Weights(NumberFormat::float32, hidden.data(), H, H);
    model.layers.push_back(std::move(layer));
    model.decoder = carousel::Weights(NumberFormat::float32, decoder.data(), V, H);
    model.decoder_bias = bias;
    model.decoder_bias.resize(carousel::padded(V) + carousel::TILE_ROWS);
    return std::make_unique<carousel::Engine>(kernels, threads, std::move(model));
  }
};

void test_threads(const carousel::Kernels* kernels);
