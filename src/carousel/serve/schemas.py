"""What requests and answers hold. The OpenAPI description is made of these classes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from carousel.serve import limits

TokenId = Annotated[int, Field(ge=0, lt=2**31)]
TokenIds = Annotated[list[TokenId], Field(min_length=1, max_length=limits.MAX_PROMPT_TOKENS)]
Text = Annotated[str, Field(max_length=limits.MAX_BODY_BYTES)]
StopText = Annotated[str, Field(min_length=1, max_length=limits.MAX_STOP_LENGTH)]
ModelName = Annotated[str, Field(max_length=4096)]
SessionName = Annotated[
    str,
    Field(
        max_length=limits.MAX_SESSION_TOKEN_LENGTH,
        description="The session, as the last answer about it named it.",
    ),
]
Probability = Annotated[float, Field(ge=0, le=1.000001)]


class Request(BaseModel):
    """A request: no other fields, and no numbers that are written as text."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())


class Answer(BaseModel):
    """An answer."""

    model_config = ConfigDict(protected_namespaces=())


# -- completions -------------------------------------------------------------------------------


class StreamOptions(Request):
    """What a stream tells beside the text."""

    include_usage: bool = False
    """Whether the last chunk before ``[DONE]`` counts the tokens."""
    include_obfuscation: bool | None = None


class CompletionRequest(Request):
    """OpenAI's request for completions.

    What these models don't do is refused where it would change the answer.
    """

    model: ModelName | None = None
    prompt: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=limits.MAX_PROMPTS)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=limits.MAX_PROMPTS)]
    ) = ""
    max_tokens: Annotated[int, Field(ge=0, le=limits.MAX_TOKENS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    n: Annotated[int, Field(ge=1, le=limits.MAX_N)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=limits.MAX_STOPS)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=limits.MAX_LOGPROBS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Annotated[str, Field(max_length=512)] | None = None
    suffix: Literal[""] | None = None
    best_of: Literal[1] | None = None
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None


class Logprobs(Answer):
    """How likely each token was, in nats."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class Choice(Answer):
    """One continuation."""

    text: str
    index: int
    logprobs: Logprobs | None
    finish_reason: Literal["stop", "length"] | None


class Usage(Answer):
    """The tokens that were read and generated."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(Answer):
    """OpenAI's answer; in a stream, a chunk of it."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None


class ModelCard(Answer):
    """A model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(Answer):
    """The models that are served."""

    object: Literal["list"]
    data: list[ModelCard]


# -- next words and sessions -------------------------------------------------------------------


class NextRequest(Request):
    """Ask for the next words after a text, or where a session stands."""

    model: ModelName | None = None
    text: Text | None = None
    session: SessionName | None = None
    prefix: Annotated[str, Field(max_length=limits.MAX_PREFIX_LENGTH)] | None = None
    """The beginning of the word that is being typed."""
    k: Annotated[int, Field(ge=1, le=limits.MAX_WORDS)] = 5


class Word(Answer):
    """A whole word and how likely it comes next; with a prefix, among the words that begin so."""

    word: str
    probability: Probability


class NextWords(Answer):
    """The likeliest next words, best first."""

    model: str
    words: list[Word]


class SessionRequest(Request):
    """Open a session: a text that grows, of which the model's state is kept."""

    model: ModelName | None = None
    text: Text | None = None
    """What the session reads first."""
    kept_by: Literal["server", "client"] | None = None
    """Where its state lives. By default with the server if it has one worker, else the client."""


class FeedRequest(Request):
    """Have a session read on."""

    session: SessionName
    text: Text | None = None
    tokens: TokenIds | None = None


class SessionOnly(Request):
    """Name a session."""

    session: SessionName


class SessionAnswer(Answer):
    """A session. A client that keeps its state must use the name of the latest answer."""

    session: str
    model: str
    kept_by: Literal["server", "client"]
    expires_in: int
    """Seconds: of the server's sessions without use, of the client's since this answer."""


class Closed(Answer):
    """A session that the server has forgotten."""

    closed: bool


# -- tokens ------------------------------------------------------------------------------------


class TokenizeRequest(Request):
    """Cut a text into tokens."""

    prompt: Text
    model: ModelName | None = None
    add_special_tokens: bool | None = None
    """Without effect: there are none."""


class TokenList(Answer):
    """A text's tokens."""

    tokens: list[int]
    count: int
    max_model_len: int


class DetokenizeRequest(Request):
    """Join tokens to a text."""

    tokens: Annotated[list[TokenId], Field(max_length=limits.MAX_PROMPT_TOKENS)]
    model: ModelName | None = None


class DetokenizedText(Answer):
    """The text of tokens."""

    prompt: str


class TokenizerInfo(Answer):
    """A model's tokenizer, as evaluation tools ask for it."""

    tokenizer_class: str
    vocab_size: int
    eos_token: str
    """The end of a line, which is also what every text begins after."""
    bos_token: str
    unk_token: str
    model_max_length: int


# -- the rest ----------------------------------------------------------------------------------


class ExplainRequest(Request):
    """Ask for what `carousel explain --json` prints."""

    model: ModelName | None = None
    texts: Annotated[
        list[Annotated[str, Field(max_length=limits.MAX_EXPLAINED_LENGTH)]],
        Field(min_length=1, max_length=2),
    ]
    """One text, or two that are compared."""
    clamps: Annotated[
        list[Annotated[str, Field(max_length=256)]], Field(max_length=limits.MAX_CLAMPS)
    ] = []
    compare: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=256)]],
            Field(min_length=2, max_length=2),
        ]
        | None
    ) = None
    """Two next words that are weighed against each other."""


class Explanation(Answer):
    """The numbers of `carousel explain --json`."""

    model_config = ConfigDict(extra="allow")

    cell: str
    layers: int
    texts: list[dict[str, Any]]
    unknown: dict[str, list[dict[str, Any]]]


class Health(Answer):
    """Whether the server lives, or is ready for requests."""

    status: Literal["ok", "stopping"]


class ErrorDetail(Answer):
    """What was wrong."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(Answer):
    """OpenAI's shape of an error."""

    error: ErrorDetail
