// What is made of the scores of all words: the best of them, and their normaliser.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "engine.h"
#include "space.h"

namespace carousel {
namespace {

constexpr int64_t FIRST_CHUNK = 64;  // rows at first, after which few scores are above the bar

const float NONE = -std::numeric_limits<float>::infinity();

// Where chunks of rows begin, and the end: few rows at first and at last, after which few scores are
// above the bar from either side.
std::vector<int64_t> chunks_of(int64_t first, int64_t end) {
  std::vector<int64_t> edges = {first};
  const int64_t last = std::max(first, (end - FIRST_CHUNK) / TILE * TILE);
  for (int64_t chunk = FIRST_CHUNK; edges.back() + chunk < last; chunk = std::min(4 * chunk, CHUNK))
    edges.push_back(edges.back() + chunk);
  if (last > edges.back()) edges.push_back(last);
  edges.push_back(end);
  return edges;
}

}  // namespace

// Passes over all rows a chunk at a time: use(part, first row, rows, scores, stride). Where there
// are tallies, one of each vector for each part, the scores are in them by then.
template <class Use>
void Engine::rows_of(const Weights& weights, const float* bias, const Vectors& vectors, int parts,
                     Tally* tallies, Use&& use, bool backwards) {
  const Matrix& m = weights.matrix();
  const int64_t share = padded((m.rows + parts - 1) / parts);
  const auto some = [&](int part) {
    float* scores = chunk_of_scores(vectors.count * CHUNK);
    const int64_t begin = part * share, end = std::min(begin + share, m.rows);
    if (begin >= end) return;
    const std::vector<int64_t> edges = chunks_of(begin, end);
    const size_t count = edges.size() - 1;
    for (size_t n = 0; n < count; ++n) {
      const size_t at = backwards ? count - 1 - n : n;
      const int64_t row = edges[at], last = edges[at + 1];
      kernels_->product(m, row, last, vectors, bias, scores, CHUNK, work_space(m.columns),
                        tallies ? tallies + part * vectors.count : nullptr);
      use(part, row, last - row, scores, CHUNK);
    }
  };
  if (parts == 1) return some(0);
  pool_->run(parts, some);
}

// The k best scores so far, the worst of them on top of a heap; of equals the lower id is better.
struct Engine::Ranking {
  struct Entry {
    float score;
    int64_t id;
  };
  int64_t k;
  std::vector<Entry> entries;

  explicit Ranking(int64_t k_) : k(k_) { entries.reserve(static_cast<size_t>(k)); }

  static bool better(const Entry& a, const Entry& b) {
    return a.score > b.score || (a.score == b.score && a.id < b.id);
  }
  bool full() const { return static_cast<int64_t>(entries.size()) == k; }
  float bar() const { return full() ? entries.front().score : NONE; }
  void offer(Entry entry) {
    if (std::isnan(entry.score)) entry.score = NONE;
    if (full()) {
      if (!better(entry, entries.front())) return;
      std::pop_heap(entries.begin(), entries.end(), better);
      entries.back() = entry;
    } else {
      entries.push_back(entry);
    }
    std::push_heap(entries.begin(), entries.end(), better);
  }
  // Scores of ids from `first` on, above all ids offered before: those at the places, if there are
  // k already.
  void offer(const float* scores, int64_t count, int64_t first, const int32_t* places,
             int64_t found) {
    int64_t at = 0;
    for (; at < count && !full(); ++at) offer({scores[at], first + at});
    for (int64_t n = 0; n < found; ++n)
      if (places[n] >= at && places[n] < count) offer({scores[places[n]], first + places[n]});
  }
  // As they are in a tally, which gets the new bar.
  void offer(const float* scores, int64_t count, int64_t first, Tally& tally) {
    offer(scores, count, first, tally.places, tally.found);
    tally.bar = bar();
  }
  void take(const Ranking& other) {
    for (const Entry& entry : other.entries) offer(entry);
  }
  void sort() { std::sort(entries.begin(), entries.end(), better); }
};

// Σ exp of some scores of one vector, as far as it is needed.
struct Engine::Sum {
  float largest;
  double exps;  // of what each score is below the largest
  float fault;

  // And nothing is left in the tally but its bar.
  static Sum of(Tally& tally) {
    const Sum made{tally.largest, std::accumulate(std::begin(tally.sums), std::end(tally.sums), 0.0),
                   tally.fault};
    tally.largest = NONE;
    std::fill(std::begin(tally.sums), std::end(tally.sums), 0.0);
    tally.fault = 0;
    return made;
  }
};

// log Σ exp of all scores of one vector.
float Engine::normaliser(const std::vector<Sum>& sums) {
  float largest = NONE;
  for (const Sum& sum : sums) largest = std::max(largest, sum.largest);
  double all = 0;
  for (const Sum& sum : sums) {
    if (sum.exps > 0) all += sum.exps * std::exp(static_cast<double>(sum.largest) - largest);
    all += sum.fault;
  }
  const float log_sum = static_cast<float>(largest + std::log(all));
  if (!std::isfinite(log_sum))
    throw std::invalid_argument("the scores are not finite: the model's weights are too large");
  return log_sum;
}

// The same from the tallies of one vector, one of each part.
float Engine::normaliser(Tally* tallies, int parts, int64_t stride) {
  std::vector<Sum> sums;
  for (int part = 0; part < parts; ++part) sums.push_back(Sum::of(tallies[part * stride]));
  return normaliser(sums);
}

// Best k of every vector with a plain decoder, and with the normaliser where it is asked for.
//
// Of few vectors every second call reads the rows from the last to the first: what was read last may
// still lie in the second cache. Each chunk has a tally of its own, so that what comes out does not
// depend on the order.
void Engine::rank_flat(const Vectors& vectors, int64_t k, int64_t* ids, float* log_probs) {
  const int64_t N = vectors.count;
  const int parts = parts_for(model_.decoder.matrix());
  const bool backwards = N <= FEW && turn_.fetch_xor(1, std::memory_order_relaxed);
  std::vector<Ranking> best(parts * N, Ranking(0));
  for (auto& ranking : best) ranking = Ranking(k);
  std::vector<Tally> tallies(parts * N);
  for (auto& tally : tallies) tally.bar = NONE;
  std::vector<std::vector<Sum>> sums(parts * N);
  const auto use = [&](int part, int64_t row, int64_t rows, const float* scores, int64_t stride) {
    for (int64_t v = part * N; v < (part + 1) * N; ++v) {
      best[v].offer(scores + (v - part * N) * stride, rows, row, tallies[v]);
      sums[v].push_back(Sum::of(tallies[v]));
      // Of equals the lower id is better: backwards it is still to come.
      if (backwards) tallies[v].bar = std::nextafter(tallies[v].bar, NONE);
    }
  };
  rows_of(model_.decoder, model_.decoder_bias.data(), vectors, parts, tallies.data(), use,
          backwards);
  for (int64_t v = 0; v < N; ++v) {
    std::vector<Sum> all;
    for (int part = 0; part < parts; ++part) {
      auto& some = sums[part * N + v];
      if (backwards) std::reverse(some.begin(), some.end());
      all.insert(all.end(), some.begin(), some.end());
      if (part) best[v].take(best[part * N + v]);
    }
    best[v].sort();
    const float log_sum = log_probs ? normaliser(all) : 0;
    for (int64_t n = 0; n < k; ++n) {
      ids[v * k + n] = best[v].entries[n].id;
      if (log_probs) log_probs[v * k + n] = best[v].entries[n].score - log_sum;
    }
  }
}

// Best k of one vector, reading only those rows that a coarser decoder can't rule out.
//
// For a row w and its coarse copy w', a vector x and its coarse copy x' (Cauchy and Schwarz):
//   |w x - w' x'| <= |w - w'| |x| + |w'| |x - x'|
// and the arithmetic of either product adds less than (K + 8) u |w| |x| with u = 2^-23.
void Engine::rank_screened(const Vectors& x, int64_t k, int64_t* ids) {
  const Matrix& m = model_.decoder.matrix();
  std::call_once(screen_once_, [&] {
    auto screen = std::make_unique<Screen>();
    std::vector<int8_t> rows(m.rows * m.columns);
    std::vector<float> scale(m.rows), row(m.columns);
    screen->error.resize(padded(m.rows));
    screen->norm.resize(padded(m.rows));
    for (int64_t r = 0; r < m.rows; ++r) {
      model_.decoder.row(r, row.data());
      float largest = 0;
      for (float w : row) largest = std::max(largest, std::fabs(w));
      scale[r] = largest > 1e-30f ? largest / 127 : 0;
      double error = 0, norm = 0;
      for (int64_t c = 0; c < m.columns; ++c) {
        const float q = scale[r] > 0 ? std::nearbyint(row[c] / scale[r]) : 0;
        rows[r * m.columns + c] = static_cast<int8_t>(std::clamp(q, -127.0f, 127.0f));
        const double off = row[c] - static_cast<double>(rows[r * m.columns + c]) * scale[r];
        error += off * off;
        norm += static_cast<double>(row[c]) * row[c];
      }
      screen->error[r] = static_cast<float>(std::sqrt(error) * (1 + 1e-6));
      screen->norm[r] = static_cast<float>((std::sqrt(norm) + std::sqrt(error)) * (1 + 1e-6));
    }
    screen->rows = std::make_unique<Weights>(rows.data(), false, scale.data(), m.rows, m.columns);
    screen_ = std::move(screen);
  });
  double length = 0, off = 0;
  for (int64_t c = 0; c < m.columns; ++c) {
    const double gap = x.values[c] - static_cast<double>(x.bytes[c]) * *x.scale;
    length += static_cast<double>(x.values[c]) * x.values[c];
    off += gap * gap;
  }
  length = std::sqrt(length) * (1 + 1e-6);
  off = std::sqrt(off) * (1 + 1e-6);
  const double rounding = (m.columns + 8) * std::ldexp(1.0, -22);
  const float by_error = static_cast<float>(length * (1 + 1e-6));
  const float by_norm = static_cast<float>((off + rounding * (length + off)) * (1 + 1e-6));
  const float by_bias = std::ldexp(1.0f, -21);

  struct Candidate {
    int64_t id;
    float upper;
  };
  std::vector<Candidate> candidates;
  Ranking sure(k);  // the k best lower bounds: what is wholly below them can't win
  const float* bias = model_.decoder_bias.data();
  rows_of(*screen_->rows, bias, x, 1, nullptr,
          [&](int, int64_t first, int64_t rows, const float* scores, int64_t) {
            float lower[CHUNK], upper[CHUNK];
            for (int64_t n = 0; n < rows; ++n) {
              const int64_t r = first + n;
              const float far = screen_->error[r] * by_error + screen_->norm[r] * by_norm +
                                (std::fabs(bias[r]) + std::fabs(scores[n])) * by_bias;
              lower[n] = scores[n] - far;
              upper[n] = scores[n] + far;
            }
            int32_t places[CHUNK];
            sure.offer(lower, rows, first, places,
                       kernels_->above(lower, rows, sure.bar(), places));
            const float bar = std::nextafter(sure.bar(), NONE);
            const int64_t found = sure.full() ? kernels_->above(upper, rows, bar, places) : rows;
            for (int64_t n = 0; n < found; ++n) {
              const int64_t at = sure.full() ? places[n] : n;
              candidates.push_back({first + at, upper[at]});
            }
          });
  Ranking best(k);
  for (const Candidate& candidate : candidates) {
    if (candidate.upper < sure.bar()) continue;
    float score[TILE];
    kernels_->product(m, candidate.id, candidate.id + 1, x, bias, score, TILE, work_space(m.columns),
                       nullptr);
    best.offer({*score, candidate.id});
  }
  best.sort();
  for (int64_t n = 0; n < k; ++n) ids[n] = best.entries[n].id;
}

// Best k of one vector with an adaptive decoder. No word of a cluster is likelier than the whole
// cluster, so that one whose row scores below the k-th best word need not be opened.
void Engine::rank_clusters(Space& space, const Vectors& x, int64_t k, int64_t* ids,
                           float* log_probs) {
  const int64_t count = static_cast<int64_t>(model_.clusters.size());
  const int64_t short_list = model_.decoder.matrix().rows - count;
  Ranking head(std::min(k, short_list));
  Tally tally;
  tally.bar = NONE;
  std::vector<float> of_cluster(count);
  rows_of(model_.decoder, model_.decoder_bias.data(), x, 1, &tally,
          [&](int, int64_t first, int64_t rows, const float* scores, int64_t) {
            const int64_t listed = std::clamp<int64_t>(short_list - first, 0, rows);
            head.offer(scores, listed, first, tally);
            for (int64_t n = listed; n < rows; ++n) of_cluster[first + n - short_list] = scores[n];
          });
  const float head_sum = normaliser(&tally, 1, 1);
  Ranking best(k);
  for (const auto& entry : head.entries) best.offer({entry.score - head_sum, entry.id});
  for (float& score : of_cluster) score -= head_sum;
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return Ranking::better({of_cluster[a], a}, {of_cluster[b], b});
  });
  for (int64_t number : order) {
    if (best.full() && of_cluster[number] < best.bar()) break;
    const Cluster& cluster = model_.clusters[number];
    const int64_t size = cluster.inner.matrix().rows;
    space.small.shape(1, size);
    product(cluster.inner, 0, size, x, nullptr, space.small.at(0), space.small.stride);
    space.small.seal(*kernels_, 0, int8_);
    Ranking inside(std::min(k, cluster.last - cluster.first));
    tally = Tally();
    tally.bar = NONE;
    rows_of(cluster.outer, nullptr, space.small.vectors(0, 1), 1, &tally,
            [&](int, int64_t first, int64_t rows, const float* scores, int64_t) {
              inside.offer(scores, rows, cluster.first + first, tally);
            });
    const float sum = normaliser(&tally, 1, 1);
    for (const auto& entry : inside.entries)
      best.offer({of_cluster[number] + (entry.score - sum), entry.id});
  }
  best.sort();
  for (int64_t n = 0; n < k; ++n) {
    ids[n] = best.entries[n].id;
    if (log_probs) log_probs[n] = best.entries[n].score;
  }
}

void Engine::top_k(const Source& source, int64_t N, int64_t k, int64_t* ids, float* log_probs) {
  const bool clusters = !model_.clusters.empty();
  const bool screened =
      !log_probs && !clusters && model_.decoder.matrix().format != Format::int8;
  auto space = take();
  for (int64_t start = 0; start < N; start += MANY) {
    const int64_t count = std::min(MANY, N - start);
    const Vectors read = to_read(*space, source, start, count, int8_ || screened);
    int64_t* to = ids + start * k;
    float* and_to = log_probs ? log_probs + start * k : nullptr;
    if (!clusters && !screened) {
      rank_flat(read, k, to, and_to);
      continue;
    }
    for (int64_t v = 0; v < count; ++v) {
      if (clusters)
        rank_clusters(*space, space->read.vectors(v, 1), k, to + v * k,
                      and_to ? and_to + v * k : nullptr);
      else
        rank_screened(space->read.vectors(v, 1), k, to + v * k);
    }
  }
  give(std::move(space));
}

void Engine::decode(const Source& source, int64_t N, float* scores) {
  const int64_t V = model_.words;
  const int64_t count_clusters = static_cast<int64_t>(model_.clusters.size());
  const int64_t listed = model_.decoder.matrix().rows - count_clusters;
  auto space = take();
  for (int64_t start = 0; start < N; start += MANY) {
    const int64_t count = std::min(MANY, N - start);
    const Vectors read = to_read(*space, source, start, count, int8_);
    float* to = scores + start * V;
    std::vector<float> of_cluster(count * count_clusters);
    std::vector<Tally> tallies(count_clusters ? count : 0);
    rows_of(model_.decoder, model_.decoder_bias.data(), read,
            count_clusters ? 1 : parts_for(model_.decoder.matrix()),
            count_clusters ? tallies.data() : nullptr,
            [&](int, int64_t first, int64_t rows, const float* from, int64_t stride) {
              const int64_t words = std::clamp<int64_t>(listed - first, 0, rows);
              for (int64_t v = 0; v < count; ++v) {
                const float* line = from + v * stride;
                std::memcpy(to + v * V + first, line, words * sizeof(float));
                for (int64_t n = words; n < rows; ++n)
                  of_cluster[v * count_clusters + first + n - listed] = line[n];
              }
            });
    if (!count_clusters) continue;
    for (int64_t v = 0; v < count; ++v) {
      const float sum = normaliser(&tallies[v], 1, 1);
      for (int64_t n = 0; n < listed; ++n) to[v * V + n] -= sum;
      for (int64_t c = 0; c < count_clusters; ++c) of_cluster[v * count_clusters + c] -= sum;
    }
    for (int64_t c = 0; c < count_clusters; ++c) {
      const Cluster& cluster = model_.clusters[c];
      const int64_t size = cluster.inner.matrix().rows;
      space->small.shape(count, size);
      product(cluster.inner, 0, size, read, nullptr, space->small.at(0),
              space->small.stride);
      for (int64_t v = 0; v < count; ++v) space->small.seal(*kernels_, v, int8_);
      tallies.assign(count, Tally());
      rows_of(cluster.outer, nullptr, space->small.vectors(0, count), 1, tallies.data(),
              [&](int, int64_t first, int64_t rows, const float* from, int64_t stride) {
                for (int64_t v = 0; v < count; ++v) {
                  std::memcpy(to + v * V + cluster.first + first, from + v * stride,
                              rows * sizeof(float));
                }
              });
      for (int64_t v = 0; v < count; ++v) {
        const float sum = normaliser(&tallies[v], 1, 1), outer = of_cluster[v * count_clusters + c];
        for (int64_t n = cluster.first; n < cluster.last; ++n)
          to[v * V + n] = outer + (to[v * V + n] - sum);
      }
    }
  }
  give(std::move(space));
}

void Engine::log_prob(const Source& source, int64_t N, const int64_t* tokens,
                      float* log_probs) {
  const int64_t count_clusters = static_cast<int64_t>(model_.clusters.size());
  const int64_t listed = model_.decoder.matrix().rows - count_clusters;
  const auto cluster_of = [&](int64_t token) {
    int64_t c = 0;
    while (token >= model_.clusters[c].last) ++c;
    return c;
  };
  auto space = take();
  for (int64_t start = 0; start < N; start += MANY) {
    const int64_t count = std::min(MANY, N - start);
    const Vectors read = to_read(*space, source, start, count, int8_);
    std::vector<int64_t> rows_wanted(count);
    for (int64_t v = 0; v < count; ++v) {
      const int64_t token = tokens[start + v];
      rows_wanted[v] = token < listed ? token : listed + cluster_of(token);
    }
    // The scores of the rows wanted, less the normaliser.
    const auto pick = [&](const Weights& weights, const float* bias, const Vectors& vectors,
                          const int64_t* wanted, float* found) {
      const int parts = parts_for(weights.matrix());
      std::vector<Tally> tallies(parts * vectors.count);
      rows_of(weights, bias, vectors, parts, tallies.data(),
              [&](int, int64_t first, int64_t rows, const float* scores, int64_t stride) {
                for (int64_t v = 0; v < vectors.count; ++v) {
                  if (wanted[v] >= first && wanted[v] < first + rows)
                    found[v] = scores[v * stride + wanted[v] - first];
                }
              });
      for (int64_t v = 0; v < vectors.count; ++v)
        found[v] -= normaliser(&tallies[v], parts, vectors.count);
    };
    float* to = log_probs + start;
    pick(model_.decoder, model_.decoder_bias.data(), read, rows_wanted.data(),
         to);
    for (int64_t c = 0; c < count_clusters; ++c) {
      const Cluster& cluster = model_.clusters[c];
      std::vector<int64_t> inside, wanted;
      for (int64_t v = 0; v < count; ++v) {
        if (rows_wanted[v] != listed + c) continue;
        inside.push_back(v);
        wanted.push_back(tokens[start + v] - cluster.first);
      }
      const int64_t size = cluster.inner.matrix().rows;
      const int64_t members = static_cast<int64_t>(inside.size());
      if (!members) continue;
      space->small.shape(members, size);
      for (int64_t n = 0; n < members; ++n) {
        product(cluster.inner, 0, size, space->read.vectors(inside[n], 1), nullptr,
                space->small.at(n), space->small.stride);
        space->small.seal(*kernels_, n, int8_);
      }
      std::vector<float> found(members);
      pick(cluster.outer, nullptr, space->small.vectors(0, members), wanted.data(), found.data());
      for (int64_t n = 0; n < members; ++n) to[inside[n]] += found[n];
    }
  }
  give(std::move(space));
}

void Engine::score(const int64_t* tokens, int64_t T, int64_t B, float* state, float* log_probs) {
  const int64_t P = read_size(), block = std::max<int64_t>(1, MANY / B);
  std::vector<float> hidden((block + 1) * B * P);
  {
    auto space = take();
    for (int64_t v = 0; v < B; v += MANY) {
      const int64_t some = std::min(MANY, B - v);
      to_read(*space, {state, true}, v, some, int8_);
      for (int64_t n = 0; n < some; ++n)
        std::memcpy(hidden.data() + (v + n) * P, space->read.at(n), P * sizeof(float));
    }
    give(std::move(space));
  }
  for (int64_t start = 0; start < T; start += block) {
    const int64_t count = std::min(block, T - start);
    read(tokens + start * B, count, B, state, hidden.data() + B * P);
    log_prob({hidden.data(), false}, count * B, tokens + start * B, log_probs + start * B);
    std::memmove(hidden.data(), hidden.data() + count * B * P, B * P * sizeof(float));
  }
}

}  // namespace carousel
