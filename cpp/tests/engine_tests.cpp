// Tests of the kernels and the engine with matrices small enough to work out by hand.
#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "../src/log_sum_exp.h"
#include "../src/top_k_heap.h"
#include "carousel/instruction_sets.h"
#include "testing.h"

using namespace carousel;

namespace {

// [[1, 2], [3, 4], [5, 6]] times (10, 1), plus (0.5, 0.5, 0.5), in every number format.
void test_multiply(const Kernels* kernels) {
  const float float32[] = {1, 2, 3, 4, 5, 6};
  const uint16_t bfloat16[] = {0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0};
  const int8_t int8[] = {1, 2, 3, 4, 5, 6};
  const float scale[] = {1, 1, 2};  // the last row stands for (10, 12)
  const Weights matrices[] = {Weights(NumberFormat::float32, float32, 3, 2),
                              Weights(NumberFormat::bfloat16, bfloat16, 3, 2),
                              Weights(int8, false, scale, 3, 2)};
  const std::vector<float> bias(2 * TILE_ROWS, 0.5f);
  for (const int64_t count : {1, 3, 20}) {
    VectorBatch vectors;
    vectors.resize(count, 2);
    for (int64_t v = 0; v < count; ++v) {
      vectors[v][0] = 10;
      vectors[v][1] = 1;
      vectors.finish(*kernels, v, true);
    }
    for (const Weights& weights : matrices) {
      const Matrix& m = weights.matrix();
      const bool is_int8 = m.format == NumberFormat::int8;
      std::vector<float> y(count * TILE_ROWS);
      kernels->multiply(m, 0, 3, vectors.view(0, count), bias.data(), y.data(), TILE_ROWS,
                        product_scratch(2), nullptr);
      // In int8 the 1 becomes 13 steps of 10 / 127.
      const float one = is_int8 ? 13 * 10.0f / 127 : 1;
      for (int64_t v = 0; v < count; ++v) {
        CHECK_CLOSE(y[v * TILE_ROWS], 10 + 2 * one + 0.5f);
        CHECK_CLOSE(y[v * TILE_ROWS + 1], 30 + 4 * one + 0.5f);
        CHECK(std::fabs(y[v * TILE_ROWS + 2] - ((is_int8 ? 2 : 1) * (50 + 6 * one) + 0.5f)) < 1e-4);
      }
    }
  }
}

// One LSTM unit with all gates' inputs 0: i = f = o = 1/2, g = 0, so that c halves.
void test_update_cell(const Kernels* kernels) {
  alignas(64) float from_input[5 * TILE_ROWS] = {}, from_hidden[5 * TILE_ROWS] = {};
  alignas(64) float h[TILE_ROWS] = {0.3f}, c[TILE_ROWS] = {0.8f};
  alignas(64) float forget[TILE_ROWS] = {}, scale[TILE_ROWS] = {}, offset[TILE_ROWS] = {};
  CellStep step{};
  step.cell = Cell::lstm;
  step.hidden_size = 1;
  step.from_input = from_input;
  step.from_hidden = from_hidden;
  step.h = step.h_out = h;
  step.c = step.c_out = c;
  kernels->update_cell(step);
  CHECK_CLOSE(c[0], 0.4f);
  CHECK_CLOSE(h[0], 0.5f * std::tanh(0.4f));
  // Now f is written out, and clamped to 2 f + 0.25 = 1.25.
  PointBuffers points{};
  points.out[1] = forget;
  points.scale[1] = scale;
  points.offset[1] = offset;
  scale[0] = 2;
  offset[0] = 0.25f;
  step.points = &points;
  kernels->update_cell(step);
  CHECK_CLOSE(forget[0], 1.25f);
  CHECK_CLOSE(c[0], 0.5f);
}

// log (e^1 + e^2 + e^3), and which of these scores are above 1.5.
void test_scores(const Kernels* kernels) {
  const float identity[] = {1, 2, 3};
  const Weights column(NumberFormat::float32, identity, 3, 1);
  VectorBatch vector;
  vector.resize(1, 1);
  vector[0][0] = 1;
  vector.finish(*kernels, 0, true);
  float scores[TILE_ROWS];
  ScoreStatistics statistics;
  statistics.threshold = 1.5f;
  kernels->multiply(column.matrix(), 0, 3, vector.view(0, 1), nullptr, scores, TILE_ROWS,
                    product_scratch(1), &statistics);
  CHECK(statistics.max == 3);
  CHECK(statistics.candidate_count == 2);
  CHECK(statistics.candidates[0] == 1 && statistics.candidates[1] == 2);
  CHECK_CLOSE(log_sum_exp(&statistics, 1, 1), 3.40760596f);
  int32_t indices[3];
  CHECK(kernels->find_above(scores, 3, 2.5f, indices) == 1 && indices[0] == 2);
}

// A token, by hand: h' = tanh(W x + R h), and the best words of h'.
void test_engine(const Kernels* kernels) {
  const TinyModel tiny(5, 2, 2);
  const auto engine = tiny.engine(kernels, 1);
  const int64_t token = 3;
  float state[] = {0.25f, -0.5f};
  float expected[2];
  for (int u = 0; u < 2; ++u) {
    double sum = 0;
    for (int k = 0; k < 2; ++k)
      sum +=
          tiny.input[u * 2 + k] * tiny.embedding[token * 2 + k] + tiny.hidden[u * 2 + k] * state[k];
    expected[u] = static_cast<float>(std::tanh(sum));
  }
  float hidden[2];
  engine->read(&token, 1, 1, state, hidden);
  for (int u = 0; u < 2; ++u) {
    CHECK_CLOSE(state[u], expected[u]);
    CHECK(hidden[u] == state[u]);
  }
  std::vector<float> scores(5);
  for (int64_t v = 0; v < 5; ++v)
    scores[v] = tiny.decoder[2 * v] * state[0] + tiny.decoder[2 * v + 1] * state[1] + tiny.bias[v];
  std::vector<int64_t> order(5);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
  double total = 0;
  for (const float score : scores) total += std::exp(score);
  int64_t ids[5], ranked[5];
  float log_probs[5];
  engine->top_k({state, true}, 1, 5, ids, log_probs);
  engine->top_k({state, true}, 1, 5, ranked, nullptr);
  for (int n = 0; n < 5; ++n) {
    CHECK(ids[n] == order[n] && ranked[n] == order[n]);
    CHECK_CLOSE(log_probs[n], scores[ids[n]] - std::log(total));
  }
}

void test_top_k_heap() {
  TopKHeap heap(2);
  heap.offer({1, 0});
  CHECK(!heap.full());
  heap.offer({3, 5});
  heap.offer({std::numeric_limits<float>::quiet_NaN(), 1});
  CHECK(heap.threshold() == 1);
  heap.offer({3, 2});  // as good as id 5, and lower
  heap.offer({3, 9});
  heap.sort();
  CHECK(heap.entries()[0].id == 2 && heap.entries()[1].id == 5);
}

void test_log_sum_exp() {
  const double e = std::exp(1.0);
  // log (e + 1 + e^2), in two parts.
  CHECK_CLOSE(log_sum_exp({{1, 1 + 1 / e, 0}, {2, 1, 0}}), 2.40760596f);
  bool refused = false;
  try {
    log_sum_exp({{1, 1, std::numeric_limits<float>::quiet_NaN()}});
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  CHECK(refused);
}

}  // namespace

int main() {
  for (const std::string& name : instruction_sets()) {
    const Kernels* kernels = find_kernels(name);
    test_multiply(kernels);
    test_update_cell(kernels);
    test_scores(kernels);
    test_engine(kernels);
  }
  test_top_k_heap();
  test_log_sum_exp();
  test_threads(find_kernels(""));
  std::printf(failures ? "%d checks failed\n" : "all checks passed\n", failures.load());
  return failures ? 1 : 0;
}
