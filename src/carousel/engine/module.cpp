// The door from Python: every argument is checked here before a pointer of it is used.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <cstring>

#include "engine.h"

namespace nb = nanobind;
using namespace carousel;

namespace {

using Any = nb::ndarray<nb::ro>;
using Floats = nb::ndarray<const float, nb::ro>;

constexpr int64_t WIDEST_INT8 = 1 << 17;  // columns whose int8 products are sure to fit 32 bits

std::string shape_text(const Any& array) {
  std::string text = "[";
  for (size_t axis = 0; axis < array.ndim(); ++axis)
    text += (axis ? ", " : "") + std::to_string(array.shape(axis));
  return text + "]";
}

[[noreturn]] void refuse(const std::string& what) { throw nb::value_error(what.c_str()); }

// An object as what it must be.
template <class Wanted>
Wanted as(nb::handle object, const char* name) {
  Wanted made;
  if (!nb::try_cast<Wanted>(object, made, false))
    throw nb::type_error((std::string(name) + " is not what it must be").c_str());
  return made;
}

// The array's data, once it is on the processor, contiguous and of the type and shape expected.
template <class Element>
const Element* checked(const Any& array, const char* name, std::vector<int64_t> shape) {
  if (array.device_type() != nb::device::cpu::value || array.dtype() != nb::dtype<Element>())
    throw nb::type_error((std::string(name) + " has another type than it must have").c_str());
  bool same = array.ndim() == shape.size();
  for (size_t axis = 0; same && axis < shape.size(); ++axis)
    same = static_cast<int64_t>(array.shape(axis)) == shape[axis];
  if (!same) {
    std::string wanted = "[";
    for (size_t axis = 0; axis < shape.size(); ++axis)
      wanted += (axis ? ", " : "") + std::to_string(shape[axis]);
    refuse(std::string(name) + " has shape " + shape_text(array) + ", not " + wanted + "]");
  }
  if (array.size() == 0) return static_cast<const Element*>(array.data());
  int64_t step = 1;
  for (size_t axis = shape.size(); axis-- > 0; step *= shape[axis])
    if (shape[axis] > 1 && array.stride(axis) != step)
      refuse(std::string(name) + " must be contiguous");
  if (reinterpret_cast<uintptr_t>(array.data()) % alignof(Element))
    refuse(std::string(name) + " is not aligned");
  return static_cast<const Element*>(array.data());
}

void check_finite(const float* values, int64_t count, const char* name) {
  uint32_t bad = 0;  // an exponent with all bits set overflows into the sign
  for (int64_t k = 0; k < count; ++k) {
    uint32_t bits;
    std::memcpy(&bits, values + k, sizeof bits);
    bad |= (bits & 0x7fffffffu) + 0x00800000u;
  }
  if (bad & 0x80000000u) refuse(std::string(name) + " holds a value that is not finite");
}

void check_finite(const uint16_t* values, int64_t count, const char* name) {
  uint16_t bad = 0;
  for (int64_t k = 0; k < count; ++k) bad |= static_cast<uint16_t>((values[k] & 0x7fff) + 0x80);
  if (bad & 0x8000) refuse(std::string(name) + " holds a value that is not finite");
}

// A matrix as Python holds it: a float32 or uint16 array, or a pair of int8 values and scales.
struct Given {
  Format format;
  const void* data;
  const float* scale = nullptr;
  bool tiled = false;
  int64_t rows, columns;
};

class Decoder {
 public:
  Decoder(const std::string& isa, int threads, const std::string& cell, std::vector<int64_t> sizes,
          nb::object embedding, nb::list layers, nb::object projection, nb::object decoder,
          nb::object decoder_bias, nb::list clusters) {
    const Kernels* kernels = find_kernels(isa);
    if (!kernels) refuse("this machine does not have the instruction set " + isa);
    if (threads < 1 || threads > 256) refuse("threads must be 1 to 256");
    if (sizes.size() != 4) refuse("four sizes are expected");
    const int64_t V = sizes[0], E = sizes[1], H = sizes[2], P = sizes[3];
    for (int64_t size : sizes)
      if (size < 1 || size > (1 << 24)) refuse("sizes must be 1 to 16777216");
    if (layers.size() < 1 || layers.size() > 64) refuse("there must be 1 to 64 layers");
    Model model;
    const std::vector<std::pair<std::string, Cell>> cells = {
        {"rnn", Cell::rnn},   {"gru", Cell::gru},   {"gru-reset-before", Cell::gru_reset_before},
        {"lstm", Cell::lstm}, {"cifg", Cell::cifg}, {"lstm-peephole", Cell::lstm},
        {"cifg-peephole", Cell::cifg}};
    bool known = false;
    for (const auto& [name, value] : cells)
      if (name == cell) model.cell = value, known = true;
    if (!known) refuse("no such cell: " + cell);
    const bool peephole = cell.find("peephole") != std::string::npos;
    const int64_t G = model.cell == Cell::rnn ? 1 : model.cell == Cell::lstm ? 4 : 3;
    model.words = V;
    model.hidden = H;
    int64_t width = E;
    for (nb::handle entry : layers) {
      nb::tuple parts = as<nb::tuple>(entry, "an entry");
      if (parts.size() != 5) refuse("a layer has five weights");
      Layer layer;
      layer.input = weights(parts[0], "weight_ih", G * H, width);
      layer.hidden = weights(parts[1], "weight_hh", G * H, H);
      layer.input_bias = vector(parts[2], "bias_ih", G * H);
      layer.hidden_bias = vector(parts[3], "bias_hh", G * H);
      layer.peephole = vector(parts[4], "weight_ch", (G - 1) * H);
      if (layer.peephole.empty() == peephole) refuse("peepholes belong to peephole cells, and only");
      model.layers.push_back(std::move(layer));
      width = H;
    }
    if (!projection.is_none())
      model.projection = std::make_unique<Weights>(weights(projection, "projection.weight", P, H));
    else if (P != H)
      refuse("without a projection the decoder reads hidden_size values");
    const int64_t tails = static_cast<int64_t>(clusters.size());
    int64_t listed = V;
    for (nb::handle entry : clusters) {
      nb::tuple parts = as<nb::tuple>(entry, "an entry");
      if (parts.size() != 4) refuse("a cluster has two bounds and two weights");
      Cluster cluster;
      cluster.first = as<int64_t>(parts[0], "a bound");
      cluster.last = as<int64_t>(parts[1], "a bound");
      const int64_t before = model.clusters.empty() ? cluster.first : model.clusters.back().last;
      if (cluster.first < 1 || cluster.first != before || cluster.last <= cluster.first ||
          cluster.last > V)
        refuse("clusters must follow each other up to the last word");
      if (model.clusters.empty()) listed = cluster.first;
      const Given inner = given(parts[2], "tail.0.weight", -1, P);
      cluster.inner = make(inner);
      cluster.outer =
          weights(parts[3], "tail.1.weight", cluster.last - cluster.first, inner.rows);
      model.clusters.push_back(std::move(cluster));
    }
    if (tails && model.clusters.back().last != V)
      refuse("clusters must follow each other up to the last word");
    const bool tied = decoder.is_none();
    if (tied && (P != E || tails)) refuse("a tied decoder reads embedding_size values");
    model.decoder = weights(tied ? embedding : decoder, "decoder.weight", listed + tails, P);
    model.decoder_bias = vector(decoder_bias, "decoder.bias", listed + tails);
    if (model.decoder_bias.empty()) refuse("decoder.bias is missing");
    const Given table = given(embedding, "embedding.weight", V, E);
    if (table.tiled && !tied) refuse("the embedding must lie row by row");
    model.embedding = {nullptr, table.format, table.data, table.scale, E};
    engine_ = std::make_unique<Engine>(kernels, threads, std::move(model));
    if (tied && table.tiled) engine_->tie();
  }

  // tokens [T, B], state [B, S], out [B, S]; hidden [T, B, P] or None.
  void read(Any tokens, Any state, nb::ndarray<> out, nb::object hidden) {
    const auto [T, B] = two(tokens, "tokens");
    const int64_t* ids = tokens_of(tokens, {T, B});
    float* to = prepare(state, out, B);
    float* h = nullptr;
    if (!hidden.is_none())
      h = written(as<nb::ndarray<>>(hidden, "hidden"), "hidden", {T, B, engine_->read_size()});
    nb::gil_scoped_release release;
    if (B) engine_->read(ids, T, B, to, h);
  }

  void trace(Any tokens, Any state, nb::ndarray<> out, nb::ndarray<> hidden, nb::list points,
             nb::list clamps) {
    const auto [T, B] = two(tokens, "tokens");
    const int64_t* ids = tokens_of(tokens, {T, B});
    float* to = prepare(state, out, B);
    float* h = written(hidden, "hidden", {T, B, engine_->read_size()});
    const size_t L = engine_->layers(), N = engine_->points();
    if (points.size() != L * N || clamps.size() != L * N) refuse("a point is missing");
    Tracer tracer;
    tracer.out.resize(L);
    tracer.clamps.resize(L);
    const std::vector<int64_t> shape = {T, B, engine_->hidden()};
    for (size_t n = 0; n < L * N; ++n) {
      tracer.out[n / N].push_back(
          points[n].is_none()
              ? nullptr
              : written(as<nb::ndarray<>>(points[n], "a point"), "a point", shape));
      Clamp clamp;
      if (!clamps[n].is_none()) {
        nb::tuple pair = as<nb::tuple>(clamps[n], "a clamp");
        if (pair.size() != 2) refuse("a clamp is a scale and an offset");
        clamp.scale = checked<float>(as<Any>(pair[0], "a clamp"), "a clamp's scale", shape);
        clamp.offset = checked<float>(as<Any>(pair[1], "a clamp"), "a clamp's offset", shape);
        check_finite(clamp.scale, T * B * engine_->hidden(), "a clamp's scale");
        check_finite(clamp.offset, T * B * engine_->hidden(), "a clamp's offset");
      }
      tracer.clamps[n / N].push_back(clamp);
    }
    nb::gil_scoped_release release;
    if (B) engine_->read(ids, T, B, to, h, &tracer);
  }

  void top_k(Any from, bool states, int64_t k, nb::ndarray<> ids, nb::object log_probs) {
    const auto [N, width] = two(from, "state");
    const Source source = source_of(from, states, N);
    check_k(k);
    auto* to = const_cast<int64_t*>(checked<int64_t>(Any(ids), "ids", {N, k}));
    float* scores = nullptr;
    if (!log_probs.is_none())
      scores = written(as<nb::ndarray<>>(log_probs, "log_probs"), "log_probs", {N, k});
    nb::gil_scoped_release release;
    engine_->top_k(source, N, k, to, scores);
  }

  // Both in one: tokens [B], state and out [B, S]; ids and log_probs [B, k].
  void step_top_k(Any tokens, Any state, nb::ndarray<> out, int64_t k, nb::ndarray<> ids,
                  nb::ndarray<> log_probs) {
    const int64_t B = static_cast<int64_t>(tokens.size());
    const int64_t* read = tokens_of(tokens, {B});
    check_k(k);
    auto* to = const_cast<int64_t*>(checked<int64_t>(Any(ids), "ids", {B, k}));
    float* scores = written(log_probs, "log_probs", {B, k});
    float* after = prepare(state, out, B);
    nb::gil_scoped_release release;
    if (!B) return;
    engine_->read(read, 1, B, after, nullptr);
    engine_->top_k({after, true}, B, k, to, scores);
  }

  void decode(Any from, bool states, nb::ndarray<> scores) {
    const auto [N, width] = two(from, "state");
    const Source source = source_of(from, states, N);
    float* to = written(scores, "scores", {N, engine_->words()});
    nb::gil_scoped_release release;
    engine_->decode(source, N, to);
  }

  void log_prob(Any from, bool states, Any tokens, nb::ndarray<> log_probs) {
    const auto [N, width] = two(from, "state");
    const Source source = source_of(from, states, N);
    const int64_t* ids = tokens_of(tokens, {N});
    float* to = written(log_probs, "log_probs", {N});
    nb::gil_scoped_release release;
    engine_->log_prob(source, N, ids, to);
  }

  void score(Any tokens, Any state, nb::ndarray<> out, nb::ndarray<> log_probs) {
    const auto [T, B] = two(tokens, "tokens");
    const int64_t* ids = tokens_of(tokens, {T, B});
    float* to = prepare(state, out, B);
    float* scores = written(log_probs, "log_probs", {T, B});
    nb::gil_scoped_release release;
    if (B) engine_->score(ids, T, B, to, scores);
  }

  Engine& engine() { return *engine_; }

 private:
  static std::pair<int64_t, int64_t> two(const Any& array, const char* name) {
    if (array.ndim() != 2) refuse(std::string(name) + " must have two axes");
    return {static_cast<int64_t>(array.shape(0)), static_cast<int64_t>(array.shape(1))};
  }

  void check_k(int64_t k) const {
    if (k < 1 || k > engine_->words())
      refuse("k must be 1 to " + std::to_string(engine_->words()) + ", not " + std::to_string(k));
  }

  const int64_t* tokens_of(const Any& tokens, std::vector<int64_t> shape) const {
    const int64_t* ids = checked<int64_t>(tokens, "tokens", shape);
    for (size_t k = 0; k < tokens.size(); ++k)
      if (ids[k] < 0 || ids[k] >= engine_->words())
        throw nb::index_error(("token " + std::to_string(ids[k]) + " is not among the " +
                               std::to_string(engine_->words()) + " known")
                                  .c_str());
    return ids;
  }

  const float* state_of(const Any& state, int64_t B) const {
    const float* from = checked<float>(state, "state", {B, engine_->state_size()});
    check_finite(from, B * engine_->state_size(), "state");
    return from;
  }

  Source source_of(const Any& from, bool states, int64_t N) const {
    if (states) return {state_of(from, N), true};
    const float* hidden = checked<float>(from, "hidden", {N, engine_->read_size()});
    check_finite(hidden, N * engine_->read_size(), "hidden");
    return {hidden, false};
  }

  static float* written(const nb::ndarray<>& array, const char* name,
                        std::vector<int64_t> shape) {
    return const_cast<float*>(checked<float>(Any(array), name, std::move(shape)));
  }

  // Copies the state to where it is to be replaced; the two may be one, or overlap.
  float* prepare(const Any& state, const nb::ndarray<>& out, int64_t B) const {
    const float* from = state_of(state, B);
    float* to = written(out, "out", {B, engine_->state_size()});
    if (from != to) std::memmove(to, from, B * engine_->state_size() * sizeof(float));
    return to;
  }

  // Rows may be -1 for any number.
  Given given(nb::handle object, const char* name, int64_t rows, int64_t columns) {
    if (nb::isinstance<nb::tuple>(object)) {
      nb::tuple pair = as<nb::tuple>(object, name);
      if (pair.size() != 2) refuse(std::string(name) + " must be values and scales");
      const Any values = as<Any>(pair[0], name), scale = as<Any>(pair[1], name);
      if (scale.ndim() != 1) refuse(std::string(name) + " must have one scale a row");
      if (rows < 0) rows = static_cast<int64_t>(scale.shape(0));
      Given made{Format::int8, nullptr, nullptr, values.ndim() == 4, rows, columns};
      if (rows < 1 || columns > WIDEST_INT8)
        refuse(std::string(name) + " is too wide for int8 products, or empty");
      std::vector<int64_t> shape = {rows, columns};
      if (made.tiled)
        shape = {padded(rows) / TILE, padded(columns, DEPTH) / DEPTH, TILE, DEPTH};
      made.data = checked<int8_t>(values, name, shape);
      made.scale = checked<float>(scale, name, {rows});
      check_finite(made.scale, rows, name);
      owners_.append(pair);
      return made;
    }
    const Any array = as<Any>(object, name);
    if (array.ndim() != 2) refuse(std::string(name) + " must have two axes");
    if (rows < 0) rows = static_cast<int64_t>(array.shape(0));
    if (rows < 1) refuse(std::string(name) + " is empty");
    Given made{Format::float32, nullptr, nullptr, false, rows, columns};
    if (array.dtype() == nb::dtype<uint16_t>()) {
      made.format = Format::bfloat16;
      const auto* data = checked<uint16_t>(array, name, {rows, columns});
      check_finite(data, rows * columns, name);
      made.data = data;
    } else {
      const auto* data = checked<float>(array, name, {rows, columns});
      check_finite(data, rows * columns, name);
      made.data = data;
    }
    owners_.append(object);
    return made;
  }

  static Weights make(const Given& m) {
    if (m.format == Format::int8)
      return {static_cast<const int8_t*>(m.data), m.tiled, m.scale, m.rows, m.columns};
    return {m.format, m.data, m.rows, m.columns};
  }

  Weights weights(nb::handle object, const char* name, int64_t rows, int64_t columns) {
    return make(given(object, name, rows, columns));
  }

  // A padded copy; empty for None.
  static std::vector<float> vector(nb::handle object, const char* name, int64_t size) {
    if (object.is_none()) return {};
    const float* from = checked<float>(as<Any>(object, name), name, {size});
    check_finite(from, size, name);
    std::vector<float> made(padded(size) + TILE);
    std::copy(from, from + size, made.begin());
    return made;
  }

  nb::list owners_;  // the arrays whose memory is used
  std::unique_ptr<Engine> engine_;
};

}  // namespace

NB_MODULE(_kernels, m) {
  m.doc() = "The kernels. Use carousel.engine.decoder, which has the documentation.";
  m.def("instruction_sets", &instruction_sets);
  nb::class_<Decoder>(m, "Decoder")
      .def(nb::init<const std::string&, int, const std::string&, std::vector<int64_t>, nb::object,
                    nb::list, nb::object, nb::object, nb::object, nb::list>(),
           nb::arg("isa"), nb::arg("threads"), nb::arg("cell"), nb::arg("sizes"),
           nb::arg("embedding").none(), nb::arg("layers"), nb::arg("projection").none(),
           nb::arg("decoder").none(), nb::arg("decoder_bias"), nb::arg("clusters"))
      .def_prop_ro("isa", [](Decoder& d) { return std::string(d.engine().kernels().name); })
      .def_prop_rw(
          "threads", [](Decoder& d) { return d.engine().threads(); },
          [](Decoder& d, int threads) {
            if (threads < 1 || threads > 256) refuse("threads must be 1 to 256");
            d.engine().set_threads(threads);
          })
      .def_prop_ro("state_size", [](Decoder& d) { return d.engine().state_size(); })
      .def_prop_ro("read_size", [](Decoder& d) { return d.engine().read_size(); })
      .def_prop_ro("bytes_read", [](Decoder& d) { return d.engine().bytes_read(); })
      .def("read", &Decoder::read, nb::arg("tokens").noconvert(), nb::arg("state").noconvert(),
           nb::arg("out").noconvert(), nb::arg("hidden").none())
      .def("trace", &Decoder::trace, nb::arg("tokens").noconvert(), nb::arg("state").noconvert(),
           nb::arg("out").noconvert(), nb::arg("hidden").noconvert(), nb::arg("points"),
           nb::arg("clamps"))
      .def("top_k", &Decoder::top_k, nb::arg("source").noconvert(), nb::arg("states"),
           nb::arg("k"), nb::arg("ids").noconvert(), nb::arg("log_probs").none())
      .def("step_top_k", &Decoder::step_top_k, nb::arg("tokens").noconvert(),
           nb::arg("state").noconvert(), nb::arg("out").noconvert(), nb::arg("k"),
           nb::arg("ids").noconvert(), nb::arg("log_probs").noconvert())
      .def("decode", &Decoder::decode, nb::arg("source").noconvert(), nb::arg("states"),
           nb::arg("scores").noconvert())
      .def("log_prob", &Decoder::log_prob, nb::arg("source").noconvert(), nb::arg("states"),
           nb::arg("tokens").noconvert(), nb::arg("log_probs").noconvert())
      .def("score", &Decoder::score, nb::arg("tokens").noconvert(), nb::arg("state").noconvert(),
           nb::arg("out").noconvert(), nb::arg("log_probs").noconvert());
}
