"""``/v1/models`` and ``/v1/completions``, as OpenAI's clients speak them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from carousel.predict.generation import Continuation
from carousel.predict.next_words import split_space
from carousel.serve import schemas
from carousel.serve.contexts import Context, check_known
from carousel.serve.errors import ApiError
from carousel.serve.generation import Piece, PromptReading, TokenScore, continue_text, read_prompt
from carousel.serve.limits import MAX_PROMPT_TOKENS, MAX_PROMPTS, MAX_STATE_BYTES
from carousel.serve.offsets import token_offsets
from carousel.serve.openapi import documented
from carousel.serve.scheduler import Job
from carousel.serve.service import Service, answer, parse, unless_gone

DEFAULT_MAX_TOKENS = 16
"""OpenAI's."""


@dataclass
class Prompt:
    """One prompt of a request."""

    text: str
    ids: list[int]
    is_text: bool
    """Whether it was given as text, and not as token ids."""


def make_router(service: Service) -> APIRouter:
    """The routes of OpenAI's clients."""
    router = APIRouter(tags=["OpenAI"])

    @router.get("/v1/models", **documented(None, schemas.ModelList))
    async def list_models() -> Response:
        """The models that are served."""
        cards = [describe_model(context) for context in service.contexts.values()]
        return answer({"object": "list", "data": cards})

    @router.get("/v1/models/{model}", **documented(None, schemas.ModelCard, 404, 422))
    async def show_model(model: str) -> Response:
        """One model."""
        return answer(describe_model(service.context(model)))

    completed = documented(schemas.CompletionRequest, schemas.Completion, 404, 429)
    events: dict[str, Any] = {"text/event-stream": {"schema": {}}}
    completed["responses"][200] = {"content": events, "description": "Whole, or as a stream"}

    @router.post("/v1/completions", **completed)
    async def complete(request: Request) -> Response:
        """Continue texts, or score them (`echo` with `logprobs` and `max_tokens` 0).

        With `stream` the answer is a stream of server-sent events, each a chunk of it, and
        `[DONE]` at the end.
        """
        asked = await parse(request, schemas.CompletionRequest)
        context = service.context(asked.model)
        prompts = await read_prompts(service, context, asked.prompt)
        completion = CompletionTask(service, context, asked, prompts)
        if asked.stream:
            events = completion.events()
            # Where there is too much work, the first event is an error, and no stream begins.
            first = await unless_gone(request, anext(events))
            return StreamingResponse(_chained(first, events), media_type="text/event-stream")
        return answer(await unless_gone(request, completion.whole()))

    return router


def describe_model(context: Context) -> dict[str, Any]:
    """A model as OpenAI's list of models holds it."""
    return {
        "id": context.name, "object": "model", "created": context.created, "owned_by": "carousel",
    }  # fmt: skip


async def read_prompts(
    service: Service, context: Context, given: str | Sequence[Any]
) -> list[Prompt]:
    """The prompts of a request, in any of OpenAI's four forms.

    Raises:
        ApiError: too many tokens.
        PredictionError: a token or all words are unknown.
    """
    single = isinstance(given, str) or isinstance(given[0], int)
    prompts = []
    for part in [given] if single else given:
        if isinstance(part, str):
            prompts.append(
                Prompt(
                    part,
                    await service.encode(context, split_space(context.tokenizer, part)[0]),
                    True,
                )
            )
            continue
        ids = list(part)
        check_known(context, ids)
        service.metrics.prompt_tokens.inc(len(ids))
        prompts.append(Prompt(context.tokenizer.decode(ids), ids, False))
    total = sum(len(prompt.ids) for prompt in prompts)
    if total > MAX_PROMPT_TOKENS:
        raise ApiError(
            422, f"at most {MAX_PROMPT_TOKENS} tokens are read at once, not {total}", param="prompt"
        )
    return prompts


class CompletionTask:
    """One request for completions, as it is worked on.

    Args:
        service: what the routes share.
        context: the model.
        asked: the request.
        prompts: its prompts.

    Raises:
        ApiError: more texts than are continued side by side.
    """

    def __init__(
        self,
        service: Service,
        context: Context,
        asked: schemas.CompletionRequest,
        prompts: list[Prompt],
    ) -> None:
        self.service, self.context, self.asked, self.prompts = service, context, asked, prompts
        self.n = asked.n or 1
        most = max(1, min(MAX_PROMPTS, MAX_STATE_BYTES // context.session_bytes))
        if self.n * len(prompts) > most:
            raise ApiError(422, f"n times the prompts may be {most} at most", param="n")
        self.max_tokens = DEFAULT_MAX_TOKENS if asked.max_tokens is None else asked.max_tokens
        self.scheduler = service.scheduler(context)
        self.readings: list[PromptReading] = []
        self.generated = 0
        self.base = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": context.name,
        }

    async def read(self) -> None:
        """Read the prompts, and score them where they are echoed."""
        scored = self.asked.logprobs if self.asked.echo else None
        self.readings = [
            await self.scheduler.run(read_prompt(self.context, prompt.ids, scored))
            for prompt in self.prompts
        ]

    async def whole(self) -> dict[str, Any]:
        """The answer in one piece."""
        await self.read()
        choices: list[dict[str, Any]] = []
        pieces: list[list[Piece]] = []
        for index in range(self.n * len(self.prompts)):
            text, logprobs = self.echo(index)
            choices.append(
                {"text": text, "index": index, "logprobs": logprobs, "finish_reason": "length"}
            )
            pieces.append([])
        jobs: list[Job[None]] = []
        try:
            for index in range(len(choices) if self.max_tokens else 0):
                jobs.append(self.scheduler.submit(self.work(index, pieces[index].append)))
            await asyncio.gather(*(job.future for job in jobs))
        finally:
            # Also where one of them was refused or has failed: then the others stop.
            for job in jobs:
                job.cancel()
        for choice, parts in zip(choices, pieces, strict=True):
            for piece in parts:
                self.add(choice, piece)
        return {**self.base, "choices": choices, "usage": self.usage()}

    async def events(self) -> AsyncGenerator[bytes]:
        """The answer as server-sent events."""
        await self.read()
        queue: asyncio.Queue[tuple[int, Piece | BaseException | None]] = asyncio.Queue()
        count = self.n * len(self.prompts)
        jobs: list[Job[None]] = []
        try:
            for index in range(count if self.max_tokens else 0):
                jobs.append(self.scheduler.submit(self.work(index, self._poster(queue, index))))
                jobs[-1].future.add_done_callback(_end_of(queue, index))
            for index in range(count):
                text, logprobs = self.echo(index)
                if self.asked.echo or not self.max_tokens:
                    reason = None if self.max_tokens else "length"
                    yield self.chunk(index, text, logprobs, reason)
            open_jobs = len(jobs)
            lengths = [len(self.echo(index)[0]) for index in range(count)]
            while open_jobs:
                index, piece = await queue.get()
                if piece is None:
                    open_jobs -= 1
                elif isinstance(piece, BaseException):
                    raise piece
                else:
                    choice: dict[str, Any] = {"text": "", "logprobs": None}
                    if piece.score is not None:
                        choice["logprobs"] = empty_logprobs()
                    self.add(choice, piece, lengths[index])
                    lengths[index] += len(piece.text)
                    if piece.text or piece.score or piece.finish_reason:
                        yield self.chunk(index, piece.text, choice["logprobs"], piece.finish_reason)
            options = self.asked.stream_options
            if options is not None and options.include_usage:
                yield event({**self.base, "choices": [], "usage": self.usage()})
            yield b"data: [DONE]\n\n"
        finally:
            # Also where the client has gone: then the work stops.
            for job in jobs:
                job.cancel()

    def _poster(self, queue: asyncio.Queue[Any], index: int) -> Any:
        def emit(piece: Piece) -> None:
            self.scheduler.post(queue.put_nowait, (index, piece))

        return emit

    def work(self, index: int, emit: Any) -> Any:
        """The work of one choice; the choices of a prompt differ by what is drawn."""
        asked = self.asked
        stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
        seed = None if asked.seed is None else (asked.seed + index % self.n) % 2**64
        prompt = self.prompts[index // self.n]
        make: Any = Continuation.of_text if prompt.is_text else Continuation
        continuation = make(
            self.context.tokenizer,
            prompt.text if prompt.is_text else prompt.ids,
            max_tokens=self.max_tokens,
            temperature=1.0 if asked.temperature is None else asked.temperature,
            top_p=asked.top_p or 1.0,
            seed=seed,
            stop=stop,
        )
        return continue_text(
            self.context, self.readings[index // self.n], continuation, asked.logprobs, emit
        )

    def echo(self, index: int) -> tuple[str, dict[str, Any] | None]:
        """What a choice begins with: nothing, or its prompt and the scores of that."""
        logprobs = None if self.asked.logprobs is None else empty_logprobs()
        if not self.asked.echo:
            return "", logprobs
        prompt = self.prompts[index // self.n]
        if logprobs is not None:
            scores = self.readings[index // self.n].scores
            for score in scores:
                add_score(logprobs, score, 0)
            logprobs["text_offset"] = token_offsets(prompt.text, logprobs["tokens"])
        return prompt.text, logprobs

    def add(self, choice: dict[str, Any], piece: Piece, start: int | None = None) -> None:
        """Add a piece to a choice."""
        if piece.score is not None:
            add_score(
                choice["logprobs"], piece.score, len(choice["text"]) if start is None else start
            )
        choice["text"] += piece.text
        choice["finish_reason"] = piece.finish_reason
        self.generated += 1
        self.service.metrics.completion_tokens.inc()

    def chunk(
        self, index: int, text: str, logprobs: dict[str, Any] | None, reason: str | None
    ) -> bytes:
        """One event of a stream."""
        choice = {"text": text, "index": index, "logprobs": logprobs, "finish_reason": reason}
        return event({**self.base, "choices": [choice], "usage": None})

    def usage(self) -> dict[str, int]:
        """The tokens so far."""
        read = sum(len(prompt.ids) for prompt in self.prompts)
        return {
            "prompt_tokens": read,
            "completion_tokens": self.generated,
            "total_tokens": read + self.generated,
        }


async def _chained(first: bytes, events: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    """An event that was awaited, and those after it."""
    async with aclosing(events):
        yield first
        async for event in events:
            yield event


def _end_of(queue: asyncio.Queue[Any], index: int) -> Any:
    def done(future: asyncio.Future[Any]) -> None:
        error = None if future.cancelled() else future.exception()
        queue.put_nowait((index, error))

    return done


def event(data: dict[str, Any]) -> bytes:
    """Data as a server-sent event."""
    return b"data: " + to_json(data) + b"\n\n"


def empty_logprobs() -> dict[str, Any]:
    """OpenAI's shape of scores, without any."""
    return {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}


def add_score(logprobs: dict[str, Any], score: TokenScore, offset: int) -> None:
    """Add the score of one token."""
    logprobs["tokens"].append(score.token)
    logprobs["token_logprobs"].append(score.log_probability)
    logprobs["top_logprobs"].append(score.top)
    logprobs["text_offset"].append(offset)
