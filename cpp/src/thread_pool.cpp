#include "carousel/thread_pool.h"

#include <system_error>
#include <utility>

#include "carousel/fork_guard.h"

namespace carousel {
namespace {

constexpr int SPINS_BEFORE_SLEEP = 20000;
constexpr int SPINS_BEFORE_YIELD = 1000;

}  // namespace

// A round is one call of `run` with the workers. Its work is published by the counter `round`.
struct ThreadPool::Shared {
  std::vector<std::thread> workers;
  std::mutex one_run_at_a_time;
  std::mutex mutex;  // of sleeping and waking, and of `error`
  std::condition_variable wake;
  std::atomic<uint64_t> round{0};
  std::atomic<int> sleeping{0}, unfinished{0};
  std::atomic<bool> stop{false};
  const std::function<void(int)>* work = nullptr;
  int parts = 0;
  std::exception_ptr error;  // the first one of this round

  void serve(int number);
  void do_part(int part) noexcept;
};

// An error must not pass: another thread may still use what the caller would destroy.
void ThreadPool::Shared::do_part(int part) noexcept {
  try {
    (*work)(part);
  } catch (...) {
    std::lock_guard<std::mutex> lock(mutex);
    if (!error) error = std::current_exception();
  }
}

void ThreadPool::Shared::serve(int number) {
  for (uint64_t last_round = 0;;) {
    for (int spins = 0; round == last_round && spins < SPINS_BEFORE_SLEEP; ++spins) {
    }
    if (round == last_round) {
      std::unique_lock<std::mutex> lock(mutex);
      ++sleeping;
      wake.wait(lock, [&] { return round != last_round; });
      --sleeping;
    }
    last_round = round;
    if (stop) return;
    if (number < parts) do_part(number);
    --unfinished;
  }
}

ThreadPool::ThreadPool(int threads)
    : shared_(std::make_unique<Shared>()), made_at_fork_(fork_count()) {
  shared_->workers.reserve(threads > 1 ? threads - 1 : 0);
  for (int number = 1; number < threads; ++number) {
    try {
      shared_->workers.emplace_back([shared = shared_.get(), number] { shared->serve(number); });
    } catch (const std::system_error&) {  // the system has no more
      break;
    }
  }
}

ThreadPool::~ThreadPool() {
  if (inherited()) {
    // The workers' handles name threads that are not here, and the condition variable would wait
    // for those that slept on it: neither can be destroyed.
    (void)shared_.release();
    return;
  }
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    shared_->stop = true;
    ++shared_->round;
  }
  shared_->wake.notify_all();
  for (auto& worker : shared_->workers) worker.join();
}

int ThreadPool::threads() const { return static_cast<int>(shared_->workers.size()) + 1; }

bool ThreadPool::inherited() const { return made_at_fork_ != fork_count(); }

void ThreadPool::run(int parts, const std::function<void(int)>& work) {
  Shared& shared = *shared_;
  std::unique_lock<std::mutex> turn(shared.one_run_at_a_time, std::defer_lock);
  if (parts == 1 || inherited() || !turn.try_lock()) {
    for (int part = 0; part < parts; ++part) work(part);
    return;
  }
  shared.work = &work;
  shared.parts = parts;
  shared.error = nullptr;
  shared.unfinished = static_cast<int>(shared.workers.size());
  {
    std::lock_guard<std::mutex> lock(shared.mutex);
    ++shared.round;
  }
  if (shared.sleeping > 0) shared.wake.notify_all();
  shared.do_part(0);
  for (int spins = 0; shared.unfinished > 0; ++spins)
    if (spins > SPINS_BEFORE_YIELD) std::this_thread::yield();
  if (shared.error) std::rethrow_exception(std::exchange(shared.error, nullptr));
}

}  // namespace carousel
