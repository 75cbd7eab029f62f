// Many threads on one thread pool and on one engine, as ThreadSanitizer should see them.
#include <atomic>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "carousel/thread_pool.h"
#include "testing.h"

using namespace carousel;

namespace {

void in_threads(int count, const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  for (int n = 0; n < count; ++n) threads.emplace_back(work, n);
  for (auto& thread : threads) thread.join();
}

void test_every_part_is_done_once() {
  ThreadPool pool(3);
  in_threads(4, [&](int) {
    for (int round = 0; round < 200; ++round) {
      std::atomic<int> calls[3] = {};
      pool.run(3, [&](int part) { ++calls[part]; });
      for (const auto& count : calls) CHECK(count == 1);
    }
  });
}

// The error of any part reaches the caller when all parts are done, and the pool still works.
void test_errors_reach_the_caller() {
  ThreadPool pool(3);
  for (int bad = 0; bad < 3; ++bad) {
    std::atomic<int> finished{0};
    bool caught = false;
    try {
      pool.run(3, [&](int part) {
        if (part == bad) throw std::runtime_error("part");
        std::this_thread::yield();
        ++finished;
      });
    } catch (const std::runtime_error&) {
      caught = true;
      CHECK(finished == 2);
    }
    CHECK(caught);
    std::atomic<int> calls{0};
    pool.run(3, [&](int) { ++calls; });
    CHECK(calls == 3);
  }
}

constexpr int64_t WORDS = 12;

// What a session reads token by token: the likeliest words after each, then its state.
std::vector<float> run_session(Engine& engine) {
  std::vector<float> state(engine.state_size()), answer;
  for (int64_t n = 0; n < WORDS; ++n) {
    const int64_t token = n * 211 % engine.model().vocab_size;
    int64_t ids[3];
    float log_probs[3];
    engine.read(&token, 1, 1, state.data(), nullptr);
    engine.top_k({state.data(), true}, 1, 3, ids, log_probs);
    answer.insert(answer.end(), log_probs, log_probs + 3);
  }
  answer.insert(answer.end(), state.begin(), state.end());
  return answer;
}

// A text whose hidden values are halved, half of them held at 0.25: its traces.
std::vector<float> run_clamped(Engine& engine) {
  const int64_t H = engine.model().hidden_size, size = WORDS * H;
  std::vector<float> state(engine.state_size()), scale(size, 0.5f), offset(size), answer(size);
  for (int64_t k = 0; k < size; k += 2) {
    scale[k] = 0;
    offset[k] = 0.25f;
  }
  int64_t tokens[WORDS];
  for (int64_t n = 0; n < WORDS; ++n) tokens[n] = n * 7;
  TraceRequest trace;
  trace.out = {{answer.data()}};
  trace.clamps = {{{scale.data(), offset.data()}}};
  engine.read(tokens, WORDS, 1, state.data(), nullptr, &trace);
  for (int64_t k = 0; k < size; k += 2) CHECK(answer[k] == 0.25f);
  return answer;
}

// Each word is the likeliest after those before it.
std::vector<float> run_generation(Engine& engine) {
  std::vector<float> state(engine.state_size()), answer;
  int64_t token = 1;
  for (int64_t n = 0; n < WORDS; ++n) {
    engine.read(&token, 1, 1, state.data(), nullptr);
    engine.top_k({state.data(), true}, 1, 1, &token, nullptr);
    answer.push_back(static_cast<float>(token));
  }
  return answer;
}

std::vector<float> run_score(Engine& engine) {
  std::vector<float> state(engine.state_size()), answer(WORDS);
  int64_t tokens[WORDS];
  for (int64_t n = 0; n < WORDS; ++n) tokens[n] = n * 97;
  engine.score(tokens, WORDS, 1, state.data(), answer.data());
  return answer;
}

// 32 threads on one model, and one that changes its number of threads all the time: each answer is
// that of one thread, bit for bit.
void test_threads_change_while_others_compute(const Kernels* kernels) {
  const TinyModel model(3000, 8, 96);  // large enough for three threads
  const auto engine = model.engine(kernels, 1);
  constexpr std::vector<float> (*tasks[])(Engine&) = {run_session, run_clamped, run_generation,
                                                      run_score};
  std::vector<std::vector<float>> expected;
  for (const auto task : tasks) expected.push_back(task(*engine));
  std::atomic<bool> done{false};
  std::thread changer([&] {
    for (int n = 0; !done; ++n) engine->set_threads(1 + n % 4);
  });
  in_threads(32, [&](int number) {
    for (int round = 0; round < 12; ++round) {
      const int kind = (number + round) % 4;
      CHECK(tasks[kind](*engine) == expected[kind]);
    }
  });
  done = true;
  changer.join();
  CHECK(engine->threads() >= 1);
}

}  // namespace

void test_threads(const Kernels* kernels) {
  test_every_part_is_done_once();
  test_errors_reach_the_caller();
  test_threads_change_while_others_compute(kernels);
}
