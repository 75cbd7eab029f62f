#include "engine.h"

#include <unistd.h>

namespace carousel {

Pool::Pool(int threads) : owner_(getpid()) {
  for (int number = 1; number < threads; ++number)
    workers_.emplace_back([this, number] { serve(number); });
}

Pool::~Pool() {
  if (owner_ != getpid()) {  // a forked child has only a copy of the handles
    for (auto& worker : workers_) worker.detach();
    return;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    ++round_;
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void Pool::run(int parts, const std::function<void(int)>& work) {
  std::unique_lock<std::mutex> mine(one_at_a_time_, std::try_to_lock);
  if (parts == 1 || !mine || owner_ != getpid()) {
    for (int part = 0; part < parts; ++part) work(part);
    return;
  }
  work_ = &work;
  parts_ = parts;
  left_ = static_cast<int>(workers_.size());
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ++round_;
  }
  if (asleep_ > 0) wake_.notify_all();
  work(0);
  for (int spins = 0; left_ > 0; ++spins)
    if (spins > 1000) std::this_thread::yield();
}

void Pool::serve(int number) {
  for (uint64_t seen = 0;;) {
    for (int spins = 0; round_ == seen && spins < 20000; ++spins) {
    }
    if (round_ == seen) {
      std::unique_lock<std::mutex> lock(mutex_);
      ++asleep_;
      wake_.wait(lock, [&] { return round_ != seen; });
      --asleep_;
    }
    seen = round_;
    if (stop_) return;
    if (number < parts_) (*work_)(number);
    --left_;
  }
}

}  // namespace carousel
