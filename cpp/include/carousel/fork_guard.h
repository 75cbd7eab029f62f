// What lets a process that uses the engine fork.
//
// Contract: bookkeeping that threads share (free workspaces, the current thread pool) is read and
// changed under `bookkeeping_mutex` only, for moments. A fork waits for it, so that it is never
// locked by a thread that the child does not have. `fork_count` tells whether a thread pool was
// made in this process: a child has no threads but the one that forked.
#pragma once

#include <cstdint>
#include <mutex>

namespace carousel {

std::mutex& bookkeeping_mutex();

// How many forks lie between the process that loaded the engine and this one.
uint64_t fork_count();

}  // namespace carousel
