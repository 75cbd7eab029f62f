// The k best scores so far: a heap with the worst of them on top.
//
// Contract: of equal scores the lower id is better; a score that is not a number counts as the
// worst.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "carousel/kernels.h"

namespace carousel {

class TopKHeap {
 public:
  struct Entry {
    float score;
    int64_t id;
  };

  explicit TopKHeap(int64_t k) : k_(k) { entries_.reserve(static_cast<size_t>(k)); }

  static bool better(const Entry& a, const Entry& b) {
    return a.score > b.score || (a.score == b.score && a.id < b.id);
  }
  bool full() const { return static_cast<int64_t>(entries_.size()) == k_; }
  // The score that one must be above to be taken, whatever its id.
  float threshold() const {
    return full() ? entries_.front().score : -std::numeric_limits<float>::infinity();
  }
  const std::vector<Entry>& entries() const { return entries_; }
  void sort() { std::sort(entries_.begin(), entries_.end(), better); }

  void offer(Entry entry) {
    if (std::isnan(entry.score)) entry.score = -std::numeric_limits<float>::infinity();
    if (full()) {
      if (!better(entry, entries_.front())) return;
      std::pop_heap(entries_.begin(), entries_.end(), better);
      entries_.back() = entry;
    } else {
      entries_.push_back(entry);
    }
    std::push_heap(entries_.begin(), entries_.end(), better);
  }
  // Scores of the ids from `first` on, in one chunk. Once there are k entries, only the candidates,
  // indices into the scores, are looked at.
  void offer(const float* scores, int64_t count, int64_t first, const int32_t* candidates,
             int64_t candidate_count) {
    int64_t offered = 0;
    for (; offered < count && !full(); ++offered) offer({scores[offered], first + offered});
    for (int64_t n = 0; n < candidate_count; ++n) {
      const int32_t index = candidates[n];
      if (index >= offered && index < count) offer({scores[index], first + index});
    }
  }
  // The same with the candidates of the statistics, which get the new threshold.
  void offer(const float* scores, int64_t count, int64_t first, ScoreStatistics& statistics) {
    offer(scores, count, first, statistics.candidates, statistics.candidate_count);
    statistics.threshold = threshold();
  }
  void offer(const TopKHeap& other) {
    for (const Entry& entry : other.entries_) offer(entry);
  }

 private:
  int64_t k_;
  std::vector<Entry> entries_;
};

}  // namespace carousel
