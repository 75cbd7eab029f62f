"""``/v1/explain``: the numbers of ``carousel explain --json``."""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from carousel.errors import LensError, UntouchedWarning
from carousel.explain.explanation import Explanation
from carousel.serve import schemas
from carousel.serve.contexts import Context
from carousel.serve.errors import ApiError
from carousel.serve.limits import MAX_EXPLAINED_TOKENS
from carousel.serve.openapi import documented
from carousel.serve.service import Service, answer, parse
from carousel.text.unknown_words import find_unknown_words


def make_router(service: Service) -> APIRouter:
    """The route of explanations."""
    router = APIRouter(tags=["explain"])

    @router.post("/v1/explain", **documented(schemas.ExplainRequest, schemas.Explanation, 404, 429))
    async def explain(request: Request) -> Response:
        """A model's gates, memory and predictions at every word of one text or two."""
        asked = await parse(request, schemas.ExplainRequest)
        context = service.context(asked.model)
        for text in asked.texts:
            if len(await service.encode(context, text)) > MAX_EXPLAINED_TOKENS:
                raise ApiError(
                    422, f"at most {MAX_EXPLAINED_TOKENS} tokens are explained", param="texts"
                )
        if service.explaining.locked():
            raise ApiError(429, "another text is being explained: try again in a moment")
        async with service.explaining:
            return answer(await asyncio.to_thread(explanation_table, context, asked))

    return router


def explanation_table(context: Context, asked: schemas.ExplainRequest) -> dict[str, Any]:
    """The numbers, as the command line prints them.

    Raises:
        LensError: a clamp or a word that is not there, or a clamp that changes nothing.
        PredictionError: no word of a text is known.
    """
    pair = None if asked.compare is None else (asked.compare[0], asked.compare[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UntouchedWarning)
        try:
            explanation = Explanation.of(
                context.plain, context.tokenizer, asked.texts,
                clamps=asked.clamps, compare=pair, name=context.name,
            )  # fmt: skip
        except UntouchedWarning as warning:
            raise LensError(str(warning)) from None
    table = explanation.table()
    table["unknown"] = {
        text: [asdict(word) for word in find_unknown_words(context.tokenizer, text)]
        for text in asked.texts
    }
    return table
