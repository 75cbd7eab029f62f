#include "carousel/workspace.h"

#include <cstring>

#include "carousel/fork_guard.h"

namespace carousel {

void VectorBatch::resize(int64_t count, int64_t size) {
  size_ = size;
  stride_ = padded(size);
  values_.grow(count * stride_ + TILE_ROWS);
  quantized_.grow(count * stride_ + TILE_ROWS);
  scale_.grow(count);
  sum_.grow(count);
}

void VectorBatch::finish(const Kernels& kernels, int64_t v, bool quantize) {
  float* values = (*this)[v];
  std::memset(values + size_, 0, (stride_ - size_) * sizeof(float));
  if (quantize)
    kernels.quantize(values, stride_, quantized_.get() + v * stride_, scale_.get() + v,
                     sum_.get() + v);
}

Vectors VectorBatch::view(int64_t first, int64_t count) const {
  return {count,
          stride_,
          values_.get() + first * stride_,
          quantized_.get() + first * stride_,
          scale_.get() + first,
          sum_.get() + first};
}

WorkspacePool::WorkspacePool(int threads, size_t layers)
    : layers_(layers), threads_(std::make_shared<ThreadPool>(threads)) {}

int WorkspacePool::threads() const {
  std::lock_guard<std::mutex> lock(bookkeeping_mutex());
  return threads_->threads();
}

void WorkspacePool::set_threads(int threads) {
  auto replaced = std::make_shared<ThreadPool>(threads);
  // The old pool is destroyed, if no call uses it, after the lock is released.
  std::lock_guard<std::mutex> lock(bookkeeping_mutex());
  threads_.swap(replaced);
}

WorkspaceLease::WorkspaceLease(WorkspacePool& pool) : pool_(pool) {
  std::shared_ptr<ThreadPool> threads;
  {
    std::lock_guard<std::mutex> lock(bookkeeping_mutex());
    if (pool.threads_->inherited())  // a forked child gets threads of its own
      pool.threads_ = std::make_shared<ThreadPool>(pool.threads_->threads());
    threads = pool.threads_;
    if (!pool.free_.empty()) {
      workspace_ = std::move(pool.free_.back());
      pool.free_.pop_back();
    }
  }
  if (!workspace_) {
    workspace_ = std::make_unique<Workspace>();
    workspace_->h.resize(pool.layers_);
    workspace_->c.resize(pool.layers_);
  }
  workspace_->threads = std::move(threads);
}

WorkspaceLease::~WorkspaceLease() {
  workspace_->threads.reset();  // not under the lock: it may be the pool's last user, and join it
  try {
    std::lock_guard<std::mutex> lock(bookkeeping_mutex());
    pool_.free_.push_back(std::move(workspace_));
  } catch (const std::bad_alloc&) {  // then it is freed
  }
}

float* product_scratch(int64_t columns) {
  thread_local AlignedBuffer<float> buffer;
  return buffer.grow(scratch_size(columns));
}

float* score_buffer(int64_t count) {
  thread_local AlignedBuffer<float> buffer;
  return buffer.grow(count);
}

}  // namespace carousel
