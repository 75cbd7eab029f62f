#include "carousel/fork_guard.h"

#include <pthread.h>

#include <atomic>

namespace carousel {
namespace {

std::mutex mutex;
std::atomic<uint64_t> forks{0};

// The handlers are registered when the engine is loaded, before there is anything to guard.
[[maybe_unused]] const int registered = pthread_atfork([] { mutex.lock(); }, [] { mutex.unlock(); },
                                                       [] {
                                                         ++forks;
                                                         mutex.unlock();
                                                       });

}  // namespace

std::mutex& bookkeeping_mutex() { return mutex; }

uint64_t fork_count() { return forks.load(std::memory_order_relaxed); }

}  // namespace carousel
