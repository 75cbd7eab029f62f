// The memory that one call of the engine works in, and the threads it works with.
//
// Contract: `WorkspaceLease` takes a workspace out of the pool, or makes one, and its destructor
// puts it back, also when an exception passes. A workspace belongs to one call at a time.
#pragma once

#include <memory>
#include <vector>

#include "carousel/aligned_buffer.h"
#include "carousel/kernels.h"
#include "carousel/thread_pool.h"

namespace carousel {

// Vectors with what int8 matrices need of them.
class VectorBatch {
 public:
  // Room for `count` vectors of `size` floats; what was in it is lost.
  void resize(int64_t count, int64_t size);
  int64_t size() const { return size_; }
  int64_t stride() const { return stride_; }
  float* operator[](int64_t v) { return values_.get() + v * stride_; }
  // To be called when vector `v` has been written, and before it is multiplied: pads it with zeros,
  // and quantizes it if an int8 matrix is to read it.
  void finish(const Kernels& kernels, int64_t v, bool quantize);
  Vectors view(int64_t first, int64_t count) const;

 private:
  int64_t size_ = 0, stride_ = 0;
  AlignedBuffer<float> values_, scale_;
  AlignedBuffer<int8_t> quantized_;
  AlignedBuffer<int32_t> sum_;
};

struct Workspace {
  std::shared_ptr<ThreadPool> threads;  // of this call; another may be the engine's by its end

  VectorBatch input, output;            // of a layer, for a block of tokens
  std::vector<VectorBatch> h;           // by layer, of every session
  std::vector<AlignedBuffer<float>> c;  // by layer, [B, padded(H)]
  AlignedBuffer<float> from_input;      // W x + b of a block of tokens
  AlignedBuffer<float> from_hidden;     // R h + b of one token
  AlignedBuffer<float> update_gate;     // z of a GRU with the reset before the product
  VectorBatch reset_h;                  // and r ⊙ h
  AlignedBuffer<float> point_values;    // of one layer and token, [B, points, padded(H)] each
  AlignedBuffer<float> clamp_scales, clamp_offsets;
  std::vector<PointBuffers> points;  // and where they are, by session
  VectorBatch decoder_input;
  VectorBatch cluster_input;
};

// The workspaces of an engine that no call is using, and its thread pool.
class WorkspacePool {
 public:
  WorkspacePool(int threads, size_t layers);
  int threads() const;
  // Calls that are under way go on with the threads they have.
  void set_threads(int threads);

 private:
  friend class WorkspaceLease;
  size_t layers_;
  std::shared_ptr<ThreadPool> threads_;
  std::vector<std::unique_ptr<Workspace>> free_;
};

class WorkspaceLease {
 public:
  explicit WorkspaceLease(WorkspacePool& pool);
  ~WorkspaceLease();
  WorkspaceLease(const WorkspaceLease&) = delete;
  WorkspaceLease& operator=(const WorkspaceLease&) = delete;
  Workspace& operator*() const { return *workspace_; }
  Workspace* operator->() const { return workspace_.get(); }

 private:
  WorkspacePool& pool_;
  std::unique_ptr<Workspace> workspace_;
};

// Memory of the calling thread: scratch for a product with a matrix of so many columns, and the
// scores of some rows.
float* product_scratch(int64_t columns);
float* score_buffer(int64_t count);

}  // namespace carousel
