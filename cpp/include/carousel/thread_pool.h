// Threads that share the rows of a product.
//
// Contract: `run` may be called by several threads at once; one of them gets the workers, the
// others do all their work themselves. It returns, or throws what a share threw, only when no
// thread uses `work` any more. Where the system refuses a thread, the pool has fewer. In a forked
// child, where the workers do not exist, `run` works without them and the destructor waits for
// nobody.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace carousel {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // The caller's thread is one of them.
  int threads() const;
  // Whether the process has forked since the pool was made.
  bool inherited() const;
  // Calls work(0) to work(parts - 1), each once; `parts` is at most threads().
  void run(int parts, const std::function<void(int)>& work);

 private:
  struct Shared;  // what the workers see
  std::unique_ptr<Shared> shared_;
  uint64_t made_at_fork_;
};

}  // namespace carousel
