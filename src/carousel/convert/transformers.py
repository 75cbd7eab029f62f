"""Carousel's models as models of Hugging Face transformers.

Importing this module registers ``CarouselConfig``, ``CarouselForCausalLM`` and
``CarouselTokenizer`` with transformers' ``AutoConfig``, ``AutoModelForCausalLM`` and
``AutoTokenizer``. Then ``generate``, ``pipeline("text-generation")``, ``Trainer``,
``save_pretrained`` and ``from_pretrained`` work. No code comes with a model, and none is run:
``trust_remote_code`` is not needed.

The state of the recurrent layers is what is carried from word to word, in the place of a key-value
cache. Padding, on either side, does not touch it.

Shapes: ``T`` tokens, ``B`` sequences, ``L`` layers, ``H`` hidden units, ``E`` the width of the
embedding, ``P`` what the decoder reads, ``V`` tokens known. As everywhere in transformers, token
ids are ``[B, T]`` here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar, Self, cast

import torch
from tokenizers import Tokenizer as LibraryTokenizer
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    initialization,
)
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils import logging

from carousel.cells import State
from carousel.convert.transformers_padding import read_layer, take
from carousel.convert.transformers_tokenizer import (
    LINE_BREAK,
    from_transformers,
    to_transformers,
)
from carousel.storage.config import Config
from carousel.text.tokenizer import Tokenizer
from carousel.training.nn.lines import find_line_ends
from carousel.training.nn.network import FusedLayer, Network, ReferenceLayer

IGNORED = -100
"""The label of a token that is not counted in the loss."""


class CarouselConfig(PreTrainedConfig):
    """The shape of a Carousel model, as transformers keeps it.

    Args:
        cell: a name in ``carousel.cells.CELLS``.
        vocab_size: ``V``.
        embedding_size: ``E``.
        hidden_size: ``H``.
        num_hidden_layers: ``L``.
        projection_size: the width of the projection before the decoder; 0 for none.
        cutoffs: the first id of each cluster of an adaptive softmax; empty for a plain softmax.
        tail_sizes: the width of each cluster.
        carry_state: whether the state is carried over the end of a line. If not, each line is a
            text of its own.
        tie_word_embeddings: whether the decoder uses the embedding's weights.
        dropout: the probability of dropout in training, after the embedding and every layer.

    Raises:
        FolderError: a value of the wrong type or out of its range.

    >>> config = CarouselConfig(cell="gru", vocab_size=9, embedding_size=4, hidden_size=6)
    >>> CarouselForCausalLM(config)(torch.tensor([[1, 5, 2]])).logits.shape
    torch.Size([1, 3, 9])
    """

    model_type = "carousel"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["cache"]

    cell: str = "lstm"
    vocab_size: int = 10_000
    embedding_size: int = 256
    hidden_size: int = 512
    num_hidden_layers: int = 1
    projection_size: int = 0
    cutoffs: list[int] | tuple[int, ...] = ()
    tail_sizes: list[int] | tuple[int, ...] = ()
    carry_state: bool = True
    tie_word_embeddings: bool = False
    dropout: float = 0.0
    use_cache: bool = True
    bos_token_id: int | None = Tokenizer.eol_id
    eos_token_id: int | list[int] | None = Tokenizer.eol_id
    pad_token_id: int | None = Tokenizer.eol_id

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.shape()

    def shape(self) -> Config:
        """The same as the ``config.json`` of a model folder holds it."""
        return Config(
            cell=self.cell,
            vocab_size=self.vocab_size,
            embedding_size=self.embedding_size,
            hidden_size=self.hidden_size,
            layers=self.num_hidden_layers,
            tied=self.tie_word_embeddings,
            projection_size=self.projection_size,
            cutoffs=tuple(self.cutoffs),
            tail_sizes=tuple(self.tail_sizes),
            carry_state=self.carry_state,
        )

    @classmethod
    def from_shape(cls, shape: Config, **more: Any) -> Self:
        """The configuration of a model folder's ``config.json``; biases are always there."""
        return cls(
            cell=shape.cell,
            vocab_size=shape.vocab_size,
            embedding_size=shape.embedding_size,
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.layers,
            tie_word_embeddings=shape.tied,
            projection_size=shape.projection_size,
            cutoffs=list(shape.cutoffs),
            tail_sizes=list(shape.tail_sizes),
            carry_state=shape.carry_state,
            **more,
        )


class RecurrentCache:
    """The state after some tokens, in the place of transformers' key-value cache.

    A forward pass never changes the one that it is given; it returns a new one.

    Args:
        state: the state of every layer, ``[L, B, H]`` each.
        tokens: how many tokens were read, padding included.
    """

    is_compileable = False
    is_linear = (False,)
    """As transformers asks for each layer: whether it can't tell how many tokens were read."""

    def __init__(self, state: State, tokens: int) -> None:
        self.state = state
        self.tokens = tokens

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """How many tokens were read, padding included."""
        return self.tokens

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take the sequences of ``beam_idx [B]`` in that order, for beam search."""
        self.state = type(self.state)(*(part.index_select(1, beam_idx) for part in self.state))


class CarouselForCausalLM(PreTrainedModel, GenerationMixin):
    """A recurrent language model of Carousel with transformers' interface.

    >>> config = CarouselConfig(vocab_size=9, embedding_size=4, hidden_size=6)
    >>> model = CarouselForCausalLM(config)
    >>> ids = model.generate(torch.tensor([[1, 5]]), max_new_tokens=3, eos_token_id=None)
    >>> ids.shape
    torch.Size([1, 5])
    """

    config_class = CarouselConfig
    base_model_prefix = "network"
    _is_stateful = True

    def __init__(self, config: CarouselConfig) -> None:
        super().__init__(config)
        self.network = Network(config.shape())
        self.dropout = nn.Dropout(config.dropout)
        shared = "words" if config.cutoffs else "weight"
        self._tied_weights_keys = {f"network.decoder.{shared}": "network.embedding.weight"}
        self.post_init()
        # As everywhere in Carousel, the unknown word is never generated.
        self.generation_config.suppress_tokens = [Tokenizer.unknown_id]

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    def _init_weights(self, module: nn.Module) -> None:
        """Give the weights that were not loaded the values that training starts from."""
        if module is self.network:
            fresh = Network(self.config.shape()).state_dict()
            for name, parameter in self.network.named_parameters():
                initialization.copy_(parameter, fresh[name])

    def get_input_embeddings(self) -> nn.Module:
        """The embedding."""
        return self.network.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Take another embedding; ``tie_weights`` then gives its weights to a tied decoder."""
        self.network.embedding = cast("nn.Embedding", value)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: RecurrentCache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """Read tokens and score the next ones.

        Args:
            input_ids: ``[B, T]``.
            attention_mask: ``[B, T]``, or longer, of which the last ``T`` columns count: 1 for
                tokens and 0 for padding, which is not read. None where there is no padding.
            cache: the state before, as an earlier call returned it; None for a new text.
            inputs_embeds: vectors ``[B, T, E]`` to read instead of ``input_ids``; not for a model
                that does not carry its state over the end of a line, as they don't show one.
            labels: ``[B, T]``, usually ``input_ids`` itself: they are shifted here. -100 is not
                counted.
            use_cache: whether to return the state afterwards.
            logits_to_keep: for how many of the last tokens to compute logits; 0 for all of them. Or
                the indices of those tokens.
            output_hidden_states: whether to return what each layer reads, and what the last gives.
            return_dict: False for a tuple.
            **kwargs: ``num_items_in_batch``, by which ``Trainer`` divides the loss.

        Returns:
            ``logits [B, T, V]`` (log-probabilities where the softmax is adaptive), the ``loss`` in
            nats per token if there are labels, the ``cache``, and the ``hidden_states``, if they
            are asked for: the embedding's ``[B, T, E]`` and each layer's ``[B, T, H]``. Logits and
            hidden states at padding mean nothing.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give input_ids or inputs_embeds, and not both")
        if input_ids is None and not self.config.carry_state:
            raise ValueError("where each line is a text of its own, input_ids tell where lines end")
        x = self.network.embedding(input_ids) if inputs_embeds is None else inputs_embeds
        T = x.shape[1]
        ids = None if self.config.carry_state or input_ids is None else input_ids.T
        hidden, state, read = self._read(x.transpose(0, 1), cache, attention_mask, ids)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.network.decoder.logits(hidden.transpose(0, 1)[:, kept])
        loss = None
        if labels is not None:
            if attention_mask is not None:
                present = attention_mask[:, -T:].bool()
                counted = present.clone()
                counted[:, 1:] &= present[:, :-1]  # not what padding would predict
                labels = labels.masked_fill(~counted, IGNORED)
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **kwargs)
        use_cache = self.config.use_cache if use_cache is None else use_cache
        tokens = T + (0 if cache is None else cache.tokens)
        after: Any = RecurrentCache(state, tokens) if use_cache else None
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        layers = tuple(read) if output_hidden_states else None
        output = CausalLMOutputWithPast(loss=loss, logits=logits, cache=after, hidden_states=layers)
        as_tuple = not (self.config.return_dict if return_dict is None else return_dict)
        return output.to_tuple() if as_tuple else output

    def _read(
        self, x: Tensor, cache: RecurrentCache | None, mask: Tensor | None, ids: Tensor | None
    ) -> tuple[Tensor, State, list[Tensor]]:
        """Read ``x [T, B, E]``.

        Returns:
            What the decoder gets, ``[T, B, P]``, the state afterwards, and what each layer reads
            and the last one gives, ``[B, T, E or H]``.

        With ``ids [T, B]`` the state starts anew at the end of each line.
        """
        network = self.network
        T, B = x.shape[:2]
        state = network.initial_state(B) if cache is None else cache.state
        order = lengths = None
        line_ends = {} if ids is None else find_line_ends(ids)
        if mask is not None:
            present = mask[:, -T:].T.bool()
            if not bool(present.all()):
                # Tokens first and padding after them, wherever it was.
                order = torch.argsort(~present, dim=0, stable=True)
                lengths = present.sum(0)
                x = take(x, order)
                if ids is not None:  # those of padding are no ends of lines
                    line_ends = find_line_ends(ids.masked_fill(~present, -1).gather(0, order))
        hidden = [self.dropout(x).transpose(0, 1)]
        after: list[State] = []
        layers = cast("Sequence[FusedLayer | ReferenceLayer]", network.layers)
        for number, layer in enumerate(layers):
            before = type(state)(*(part[number : number + 1] for part in state))
            # What is returned is what is read, so that it can have gradients of its own.
            x = hidden[-1].transpose(0, 1)
            x, layer_state = read_layer(layer, x, before, lengths, line_ends)
            x = x if layer is layers[-1] else self.dropout(x)
            hidden.append(x.transpose(0, 1))
            after.append(layer_state)
        x = hidden[-1].transpose(0, 1)
        if network.projection is not None:
            x = network.projection(x)
        x = self.dropout(x)
        if order is not None:
            back = torch.argsort(order, dim=0)
            x = take(x, back)
            hidden = [take(read.transpose(0, 1), back).transpose(0, 1) for read in hidden]
        return x, type(state)(*(torch.cat(parts) for parts in zip(*after, strict=True))), hidden


class CarouselTokenizer(PreTrainedTokenizerFast):
    """A Carousel tokenizer with transformers' interface: the same ids, and the same text of ids.

    A text begins with the end-of-line token, as in training. That token is a line break, and every
    line break of a text is that token. It is also what sequences are padded with, on the left.
    Those at the ends of a text are its special tokens; those inside are part of it.
    """

    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012
    padding_side = "left"

    def _decode(
        self,
        token_ids: int | list[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> str:
        """Text with natural spacing; what does not begin with a line goes on after a word.

        So the texts of a prompt and of the tokens after it can be put together.
        """
        ids = [token_ids] if isinstance(token_ids, int) else list(token_ids)
        if max(ids, default=0) >= self.vocab_size:  # tokens that were added
            return str(super()._decode(ids, skip_special_tokens, **kwargs))
        plain = self._plain
        word = next((id for id in range(plain.vocab_size) if plain.is_word(id)), None)
        if not plain.whole_words or word is None or ids[:1] == [plain.eol_id]:
            text = plain.decode(ids)
        else:
            text = plain.decode([word, *ids]).removeprefix(plain.token(word))
        return text.strip(LINE_BREAK) if skip_special_tokens else text

    @cached_property
    def _plain(self) -> Tokenizer:
        return from_transformers(self.backend_tokenizer.to_str())


def from_carousel(tokenizer: Tokenizer) -> CarouselTokenizer:
    """Carousel's tokenizer as one of transformers."""
    return CarouselTokenizer(
        tokenizer_object=LibraryTokenizer.from_str(to_transformers(tokenizer)),
        bos_token=LINE_BREAK,
        eos_token=LINE_BREAK,
        pad_token=LINE_BREAK,
        add_bos_token=True,
        clean_up_tokenization_spaces=False,
    )


@contextmanager
def without_progress() -> Iterator[None]:
    """Without the bars that transformers draws while it reads and writes weights."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


AutoConfig.register("carousel", CarouselConfig)
AutoModelForCausalLM.register(CarouselConfig, CarouselForCausalLM)
AutoTokenizer.register(CarouselConfig, tokenizer_class=CarouselTokenizer)
