// Many threads on one thread pool and on one engine, as ThreadSanitizer should see them.
#include <algorithm>
#include <atomic>
#include <functional>
#include <stdexcept>
#include <thread>

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

// Readers, and a thread that changes their number of threads all the time.
void test_threads_change_while_others_compute(const Kernels* kernels) {
  const TinyModel model(3000, 8, 96);  // large enough for three threads
  const auto engine = model.engine(kernels, 2);
  const int64_t tokens[] = {1, 2999, 70, 5};
  const auto predict = [&](int64_t* ids) {
    std::vector<float> state(engine->state_size()), log_probs(6);
    engine->read(tokens, 4, 1, state.data(), nullptr);
    engine->top_k({state.data(), true}, 1, 3, ids, log_probs.data());
    engine->top_k({state.data(), true}, 1, 3, ids + 3, nullptr);
  };
  int64_t expected[6];
  predict(expected);
  std::atomic<bool> done{false};
  std::thread changer([&] {
    for (int n = 0; !done; ++n) engine->set_threads(1 + n % 4);
  });
  in_threads(4, [&](int) {
    for (int round = 0; round < 50; ++round) {
      int64_t ids[6];
      predict(ids);
      CHECK(std::equal(ids, ids + 6, expected));
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
