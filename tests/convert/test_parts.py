"""State dicts that are no embedding + RNN, GRU or LSTM + linear: refused, with the reason."""

import numpy as np
import pytest

from carousel.convert.parts import find_ends
from carousel.convert.recurrent import find_recurrent
from carousel.errors import ConvertError

V, E, H = 7, 3, 4


def lstm(prefix="rnn.", layer=0, width=E, hidden=H, gates=4):
    shapes = {
        "weight_ih": (gates * hidden, width),
        "weight_hh": (gates * hidden, hidden),
        "bias_ih": (gates * hidden,),
        "bias_hh": (gates * hidden,),
    }
    return {
        f"{prefix}{name}_l{layer}": np.full(shape, 0.5, np.float32)
        for name, shape in shapes.items()
    }


def model():
    rng = np.random.default_rng(0)
    return {
        "encoder.weight": rng.normal(size=(V, E)).astype(np.float32),
        **lstm(),
        "decoder.weight": rng.normal(size=(V, H)).astype(np.float32),
        "decoder.bias": np.zeros(V, np.float32),
    }


def change(more=(), gone=()):
    made = model() | dict(more)
    return {name: weight for name, weight in made.items() if name not in gone}


def a(*shape):
    return np.zeros(shape, np.float32)


REFUSED = {
    "no recurrent layers": (change(gone=lstm()), {}, "no nn.RNN, nn.GRU or nn.LSTM among"),
    "none of that name": (model(), {"rnn": "lstm"}, "no recurrent layers named 'lstm'"),
    "bidirectional": (change({"rnn.weight_ih_l0_reverse": a(16, E)}), {}, "rnn is bidirectional"),
    "two": (change(lstm("other.")), {}, "several recurrent modules (rnn, other)"),
    "two that don't count up": (
        change({**lstm("cells.0."), **lstm("cells.2.")}, lstm()), {}, "several recurrent modules"),
    "a missing layer": (change(lstm(layer=2, width=H)), {}, "0, 2: a gap"),
    "a missing weight": (change(gone=["rnn.weight_hh_l0"]), {}, "layer 0 lacks weight_hh"),
    "half of the biases": (change(gone=["rnn.bias_hh_l0"]), {}, "layer 0 lacks bias_hh"),
    "biases above none": (
        change(lstm(layer=1, width=H), ["rnn.bias_ih_l0", "rnn.bias_hh_l0"]),
        {}, "layer 1 has, unlike the others, bias_"),
    "two gates": (
        change(lstm(gates=2)), {}, "8 rows for 4 units: not an RNN (1 each), GRU (3) or LSTM (4)"),
    "five and a half": (change({"rnn.weight_ih_l0": a(22, E)}), {}, "22 rows for 4 units"),
    "a vector for a matrix": (change({"rnn.weight_hh_l0": a(16)}), {}, "or it is no matrix"),
    "nothing inside": (change({"rnn.weight_hh_l0": a(16, 0)}), {}, "or it is no matrix"),
    "layers of two cells": (
        change({**lstm("rnns.0."), **lstm("rnns.1.", width=H, gates=3)}, lstm()),
        {}, "layer 1: weight_ih has shape [12, 4], not [16, 4]"),
    "a GRU that projects": (
        change({**lstm(gates=3), "rnn.weight_hr_l0": a(2, H)}), {}, "not an RNN"),
    "no embedding": (change(gone=["encoder.weight"]), {}, "no embedding of width 3 among"),
    "an embedding of other rows": (
        change({"encoder.weight": a(V + 2, E)}), {}, "has 7 tokens, but encoder.weight has 9 rows"),
    "an embedding of other width": (
        model(), {"embedding": "decoder"}, "4 wide, but the first recurrent layer reads 3"),
    "a decoder of other rows": (
        change({"decoder.weight": a(V + 1, H)}), {"decoder": "decoder"},
        "has 7 tokens, but decoder.weight has 8 rows"),
    "a decoder of other width": (
        change({"decoder.weight": a(V, H + 1)}), {},
        "reads 5 values, but 4 come out of the recurrent layers, and nothing projects them"),
    "a tied decoder of other width": (
        change(gone=["decoder.weight"]), {}, "reads 3 values, but 4 come out"),
    "two projections": (
        change({"decoder.weight": a(V, 5), "p.weight": a(5, H), "q.weight": a(5, H)}), {},
        "p.weight, q.weight? --projection"),
    "a projection of other size": (
        change({"p.weight": a(5, 2)}), {"projection": "p"}, "has shape [5, 2], not [4, 4]"),
    "two embeddings": (
        change({"x.weight": a(V, E), "y.weight": a(V, E) + 1}, ["encoder.weight"]), {},
        "which is the embedding: x.weight, y.weight? Name it with --embedding"),
    "two decoders": (
        change({"x.weight": a(V, H), "y.weight": a(V, H)}, ["decoder.weight", "decoder.bias"]), {},
        "which is the decoder: x.weight, y.weight? Name it with --decoder"),
    "a name that is not there": (model(), {"decoder": "head"}, "--decoder head: no such matrix"),
    "more than a model has": (
        change({"norm.weight": a(H), "norm.bias": a(H)}), {}, "norm.bias, norm.weight; if"),
    "a first state that is learned": (change({"h0": a(1, 1, H)}), {}, "h0; if the model does not"),
}  # fmt: skip


@pytest.mark.parametrize(("weights", "named", "said"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_represented_is_refused(weights, named, said):
    named = dict(named)
    with pytest.raises(ConvertError) as caught:
        find_ends(weights, find_recurrent(weights, named.pop("rnn", None)), V, **named)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_parts_of_a_model():
    weights = model()
    recurrent = find_recurrent(weights)
    assert (recurrent.cell, recurrent.biases, recurrent.outer) == ("lstm", True, None)
    assert (recurrent.input_size, recurrent.hidden_size, recurrent.output_size) == (E, H, H)
    ends = find_ends(weights, recurrent, V)
    assert ends.embedding is weights["encoder.weight"]
    assert ends.decoder is weights["decoder.weight"]
    assert ends.bias is weights["decoder.bias"]
    assert ends.projection is None
    assert ends.notes == ()


@pytest.mark.parametrize(
    "names", [("wte", "lm_head"), ("emb", "fc"), ("word_embeddings", "output_layer")]
)
def test_names_tell_matrices_of_one_shape_apart(names):
    rng = np.random.default_rng(1)
    table, reader = rng.normal(size=(2, V, H)).astype(np.float32)
    embedding, decoder = names
    weights = {f"{decoder}.weight": reader, **lstm(width=H), f"{embedding}.weight": table}
    ends = find_ends(weights, find_recurrent(weights), V)
    assert ends.embedding is table
    assert ends.decoder is reader
