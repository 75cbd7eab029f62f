"""What tests take out of a language model: its parts, and the logits after some ids."""

from carousel.predict.next_words import read_ids


def parts(lm):
    """The recurrent network and the tokenizer."""
    return lm.model, lm.tokenizer


def read_logits(lm, ids, state=None):
    """Logits ``[V]`` after ``ids`` and the state; starts a line where no state is given."""
    hidden, state = read_ids(lm.model, lm.tokenizer, ids, state)
    return lm.model.logits(hidden), state
