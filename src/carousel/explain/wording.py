"""The sentences beside the pictures, in plain English: legend, model, and what may surprise."""

from __future__ import annotations

import numpy as np

from carousel.lens.decision import Decision
from carousel.storage.config import Config
from carousel.text.printable import printable_word

LINE_START = {"⏎": "the start of the line: what the model reads before the first word"}
UNKNOWN = {"<…>": "a word that the model does not know: it reads one sign for all such words"}
UNIT = {
    "unit": "one of the numbers that the memory consists of; each has its own gates",
    "mean": "averages over all units of a layer",
}
GATES = {
    "lstm": {
        "f": "forget gate, 0 to 1: how much of the memory stays (0 drops all, 1 keeps all)",
        "i": "input gate, 0 to 1: how much of the new luggage is put on",
        "|g|": "candidate: the size of the new luggage, without its sign",
        "o": "output gate, 0 to 1: how much of the memory can be seen in the prediction",
        "c": "cell state: the memory itself, the belt",
        "h": "hidden state: what the prediction gets to see",
    },
    "gru": {
        "r": "reset gate, 0 to 1: how much of the old state the candidate sees",
        "z": "update gate, 0 to 1: how much of the old state stays",
        "|n|": "candidate: the size of the new state, without its sign",
        "h": "hidden state: the memory, the belt, and what the prediction gets to see",
    },
    "rnn": {"h": "hidden state: all that the model remembers; it is made anew at every word"},
}
BELT = {
    "luggage": "what a word put into the memory; a band shows how much of it is left",
    "× and +": "× is where luggage is dropped, + is where new luggage is put on",
}
DECISION = {
    "logit": "the score of a next word before scores become probabilities: "
    "one more makes a word 2.7 times as likely, compared with the others",
}
EFFECT = {
    "KL": "how different two predictions are, in nats: 0 if they are the same, "
    "above 1 if they are very different",
}


def legend(config: Config, words: list[str], *, decision: bool, effect: bool) -> dict[str, str]:
    """What the signs on a page mean, only those that the page has.

    Args:
        config: of the model.
        words: all words that the page shows.
        decision: whether logits are shown.
        effect: whether two predictions are compared.

    Returns:
        The meaning by sign.
    """
    family = config.cell.split("-")[0]
    gates = GATES["lstm" if family == "cifg" else family]
    meanings = dict(LINE_START)
    if any(word.startswith("<") and word.endswith(">") for word in words):
        meanings |= UNKNOWN
    meanings |= gates | UNIT
    if family != "rnn":
        meanings |= BELT
    if decision or effect:
        meanings |= DECISION
    if effect:
        meanings |= EFFECT
    return meanings


def describe_model(name: str, config: Config) -> str:
    """A model in a few words: its name, if it has one, its cell and its size."""
    layers = "1 layer" if config.layers == 1 else f"{config.layers} layers"
    size = (
        f"{config.cell.upper()}, {layers} of {config.hidden_size} units, "
        f"{config.vocab_size:,} known tokens, {config.parameters:,} parameters"
    )
    return f"{name} ({size})" if name else size


def only_first_words(shown: int, total: int) -> str:
    """A note, as HTML, where a notebook shows less than there is; empty where it shows all."""
    if shown >= total:
        return ""
    return (
        f"<p>Only the first {shown} of {total:,} words are drawn here; "
        "<code>carousel explain --html</code> draws up to 2,000.</p>"
    )


def explain_contradiction(decision: Decision) -> str | None:
    """A sentence where belt and decision seem to disagree; None where they don't.

    They do where a word wins although its own luggage on the belt speaks against it.
    """
    own = decision.own_share()
    if own is None or own >= 0:
        return None
    shares = decision.for_winner()
    winner = printable_word(decision.winner)
    strongest = int(np.argmax(shares))
    last_own = max(t for t, word in enumerate(decision.words) if word == decision.winner)
    who = "later words carry it on" if strongest > last_own else "other words speak for it"
    return (
        f"{winner}'s own luggage speaks against {winner} ({own:+.1f}), and yet {winner} is "
        f"likelier: {who}, above all {decision.words[strongest]} ({shares[strongest]:+.1f})."
    )
