// The engine as a Python extension. Every argument is checked before a pointer of it is used.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstring>

#include "array_arguments.h"
#include "carousel/engine.h"
#include "carousel/instruction_sets.h"
#include "model_arguments.h"

namespace carousel {
namespace {

constexpr int MAX_THREADS = 256;

void check_threads(int threads) {
  if (threads < 1 || threads > MAX_THREADS)
    refuse("threads must be 1 to " + std::to_string(MAX_THREADS));
}

class Decoder {
 public:
  Decoder(const std::string& isa, int threads, const std::string& cell,
          const std::vector<int64_t>& sizes, nb::object embedding, nb::list layers,
          nb::object projection, nb::object decoder, nb::object decoder_bias, nb::list clusters,
          bool carry_state) {
    const Kernels* kernels = find_kernels(isa);
    if (!kernels) refuse("this machine does not have the instruction set " + isa);
    check_threads(threads);
    Model model = make_model(
        {cell, sizes, embedding, layers, projection, decoder, decoder_bias, clusters, carry_state},
        owners_);
    engine_ = std::make_unique<Engine>(kernels, threads, std::move(model));
  }

  // tokens [T, B], state [B, S], out [B, S]; hidden [T, B, P] or None.
  void read(Array tokens, Array state, OutputArray out, nb::object hidden) {
    const auto [T, B] = checked_axes(tokens, "tokens");
    const std::vector<int64_t> ids = copy_tokens(tokens, {T, B}, vocab_size());
    float* hidden_out = checked_output_or_null(hidden, "hidden", {T, B, engine_->decoder_width()});
    float* state_out = copy_state(state, out, B);
    ReleasedGil released;
    if (B) engine_->read(ids.data(), T, B, state_out, hidden_out);
  }

  // As read, with one entry for each point of each layer in two lists: where to write it or None,
  // and its clamp, a pair of a scale and an offset, or None; [T, B, H] each.
  void trace(Array tokens, Array state, OutputArray out, OutputArray hidden, nb::list points,
             nb::list clamps) {
    const auto [T, B] = checked_axes(tokens, "tokens");
    const std::vector<int64_t> ids = copy_tokens(tokens, {T, B}, vocab_size());
    float* hidden_out = checked_output<float>(hidden, "hidden", {T, B, engine_->decoder_width()});
    const size_t layers = engine_->layers(), points_per_layer = engine_->points();
    if (points.size() != layers * points_per_layer || clamps.size() != points.size())
      refuse("a point is missing");
    const std::vector<int64_t> shape = {T, B, engine_->model().hidden_size};
    TraceRequest request;
    request.out.resize(layers);
    request.clamps.resize(layers);
    for (size_t n = 0; n < points.size(); ++n) {
      request.out[n / points_per_layer].push_back(
          checked_output_or_null(points[n], "a point", shape));
      request.clamps[n / points_per_layer].push_back(check_clamp(clamps[n], shape));
    }
    float* state_out = copy_state(state, out, B);
    ReleasedGil released;
    if (B) engine_->read(ids.data(), T, B, state_out, hidden_out, &request);
  }

  // source: states [B, S], or hidden [N, P]; ids and log_probs [N, k], log_probs may be None.
  void top_k(Array source, bool states, int64_t k, OutputArray ids, nb::object log_probs) {
    const auto [N, width] = checked_axes(source, "state");
    const DecoderInput input = check_input(source, states, N);
    check_k(k);
    auto* ids_out = checked_output<int64_t>(ids, "ids", {N, k});
    float* log_probs_out = checked_output_or_null(log_probs, "log_probs", {N, k});
    ReleasedGil released;
    engine_->top_k(input, N, k, ids_out, log_probs_out);
  }

  // Both in one: tokens [B], state and out [B, S]; ids and log_probs [B, k].
  void step_top_k(Array tokens, Array state, OutputArray out, int64_t k, OutputArray ids,
                  OutputArray log_probs) {
    const int64_t B = static_cast<int64_t>(tokens.size());
    const std::vector<int64_t> tokens_in = copy_tokens(tokens, {B}, vocab_size());
    check_k(k);
    auto* ids_out = checked_output<int64_t>(ids, "ids", {B, k});
    float* log_probs_out = checked_output<float>(log_probs, "log_probs", {B, k});
    float* state_out = copy_state(state, out, B);
    ReleasedGil released;
    if (!B) return;
    engine_->read(tokens_in.data(), 1, B, state_out, nullptr);
    engine_->top_k({state_out, true}, B, k, ids_out, log_probs_out);
  }

  void decode(Array source, bool states, OutputArray scores) {
    const auto [N, width] = checked_axes(source, "state");
    const DecoderInput input = check_input(source, states, N);
    float* scores_out = checked_output<float>(scores, "scores", {N, vocab_size()});
    ReleasedGil released;
    engine_->decode(input, N, scores_out);
  }

  void log_prob(Array source, bool states, Array tokens, OutputArray log_probs) {
    const auto [N, width] = checked_axes(source, "state");
    const DecoderInput input = check_input(source, states, N);
    const std::vector<int64_t> ids = copy_tokens(tokens, {N}, vocab_size());
    float* log_probs_out = checked_output<float>(log_probs, "log_probs", {N});
    ReleasedGil released;
    engine_->log_prob(input, N, ids.data(), log_probs_out);
  }

  // tokens and log_probs [T, B]; state and out [B, S].
  void score(Array tokens, Array state, OutputArray out, OutputArray log_probs) {
    const auto [T, B] = checked_axes(tokens, "tokens");
    const std::vector<int64_t> ids = copy_tokens(tokens, {T, B}, vocab_size());
    float* log_probs_out = checked_output<float>(log_probs, "log_probs", {T, B});
    float* state_out = copy_state(state, out, B);
    ReleasedGil released;
    if (B) engine_->score(ids.data(), T, B, state_out, log_probs_out);
  }

  void set_threads(int threads) {
    check_threads(threads);
    ReleasedGil released;
    engine_->set_threads(threads);
  }

  const Engine& engine() const { return *engine_; }

 private:
  int64_t vocab_size() const { return engine_->model().vocab_size; }

  void check_k(int64_t k) const {
    if (k < 1 || k > vocab_size())
      refuse("k must be 1 to " + std::to_string(vocab_size()) + ", not " + std::to_string(k));
  }

  const float* check_state(const Array& state, int64_t B) const {
    const float* values = checked<float>(state, "state", {B, engine_->state_size()});
    check_finite(values, B * engine_->state_size(), "state");
    return values;
  }

  DecoderInput check_input(const Array& source, bool states, int64_t N) const {
    if (states) return {check_state(source, N), true};
    const float* hidden = checked<float>(source, "hidden", {N, engine_->decoder_width()});
    check_finite(hidden, N * engine_->decoder_width(), "hidden");
    return {hidden, false};
  }

  static Clamp check_clamp(nb::handle object, const std::vector<int64_t>& shape) {
    if (object.is_none()) return {};
    const nb::tuple pair = cast<nb::tuple>(object, "a clamp");
    if (pair.size() != 2) refuse("a clamp is a scale and an offset");
    const auto check = [&](nb::handle part, const char* name) {
      const float* values = checked<float>(cast<Array>(part, name), name, shape);
      check_finite(values, shape[0] * shape[1] * shape[2], name);
      return values;
    };
    return {check(pair[0], "a clamp's scale"), check(pair[1], "a clamp's offset")};
  }

  // Copies the state to where it is to be replaced, once all else is checked; the two may be one
  // array, or overlap.
  float* copy_state(const Array& state, const OutputArray& out, int64_t B) const {
    const float* from = check_state(state, B);
    float* to = checked_output<float>(out, "out", {B, engine_->state_size()});
    if (from != to) std::memmove(to, from, B * engine_->state_size() * sizeof(float));
    return to;
  }

  nb::list owners_;  // the arrays whose memory is used
  std::unique_ptr<Engine> engine_;
};

}  // namespace
}  // namespace carousel

NB_MODULE(_kernels, m) {
  using carousel::Decoder;
  using nanobind::arg;
  // What a daemon thread still uses when the program ends is not freed: that is no leak.
  nanobind::set_leak_warnings(false);
  m.doc() = "The kernels. Use carousel.engine.decoder, which has the documentation.";
  m.def("instruction_sets", &carousel::instruction_sets);
  nanobind::class_<Decoder>(m, "Decoder")
      .def(nanobind::init<const std::string&, int, const std::string&, const std::vector<int64_t>&,
                          nanobind::object, nanobind::list, nanobind::object, nanobind::object,
                          nanobind::object, nanobind::list, bool>(),
           arg("isa"), arg("threads"), arg("cell"), arg("sizes"), arg("embedding").none(),
           arg("layers"), arg("projection").none(), arg("decoder").none(), arg("decoder_bias"),
           arg("clusters"), arg("carry_state"))
      .def_prop_ro("isa", [](const Decoder& d) { return std::string(d.engine().kernels().name); })
      .def_prop_rw(
          "threads", [](const Decoder& d) { return d.engine().threads(); }, &Decoder::set_threads)
      .def_prop_ro("state_size", [](const Decoder& d) { return d.engine().state_size(); })
      .def_prop_ro("decoder_width", [](const Decoder& d) { return d.engine().decoder_width(); })
      .def_prop_ro("bytes_read", [](const Decoder& d) { return d.engine().bytes_read(); })
      .def("read", &Decoder::read, arg("tokens").noconvert(), arg("state").noconvert(),
           arg("out").noconvert(), arg("hidden").none())
      .def("trace", &Decoder::trace, arg("tokens").noconvert(), arg("state").noconvert(),
           arg("out").noconvert(), arg("hidden").noconvert(), arg("points"), arg("clamps"))
      .def("top_k", &Decoder::top_k, arg("source").noconvert(), arg("states"), arg("k"),
           arg("ids").noconvert(), arg("log_probs").none())
      .def("step_top_k", &Decoder::step_top_k, arg("tokens").noconvert(), arg("state").noconvert(),
           arg("out").noconvert(), arg("k"), arg("ids").noconvert(), arg("log_probs").noconvert())
      .def("decode", &Decoder::decode, arg("source").noconvert(), arg("states"),
           arg("scores").noconvert())
      .def("log_prob", &Decoder::log_prob, arg("source").noconvert(), arg("states"),
           arg("tokens").noconvert(), arg("log_probs").noconvert())
      .def("score", &Decoder::score, arg("tokens").noconvert(), arg("state").noconvert(),
           arg("out").noconvert(), arg("log_probs").noconvert());
}
