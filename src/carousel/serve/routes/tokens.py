"""``/tokenize``, ``/detokenize`` and ``/tokenizer_info``, as evaluation tools ask for them."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from carousel.serve import schemas
from carousel.serve.contexts import check_known
from carousel.serve.limits import MAX_PROMPT_TOKENS
from carousel.serve.openapi import documented
from carousel.serve.service import Service, answer, parse
from carousel.text.tokenizer import UNKNOWN


def make_router(service: Service) -> APIRouter:
    """The routes of tokens."""
    router = APIRouter(tags=["tokens"])

    @router.post("/tokenize", **documented(schemas.TokenizeRequest, schemas.TokenList, 404))
    async def tokenize(request: Request) -> Response:
        """Cut a text into tokens."""
        asked = await parse(request, schemas.TokenizeRequest)
        context = service.context(asked.model)
        ids = await service.encode(context, asked.prompt, known=False)
        return answer({"tokens": ids, "count": len(ids), "max_model_len": MAX_PROMPT_TOKENS})

    @router.post(
        "/detokenize", **documented(schemas.DetokenizeRequest, schemas.DetokenizedText, 404)
    )
    async def detokenize(request: Request) -> Response:
        """Join tokens to a text."""
        asked = await parse(request, schemas.DetokenizeRequest)
        context = service.context(asked.model)
        check_known(context, asked.tokens)
        return answer({"prompt": context.tokenizer.decode(asked.tokens)})

    @router.get("/tokenizer_info", **documented(None, schemas.TokenizerInfo))
    async def tokenizer_info() -> Response:
        """The tokenizer of the first model.

        A recurrent model has no longest text; `model_max_length` is what one request may hold.
        """
        context = service.context(None)
        return answer(
            {
                "tokenizer_class": f"carousel-{context.tokenizer.kind}",
                "vocab_size": context.tokenizer.vocab_size,
                "eos_token": "\n",
                "bos_token": "\n",
                "unk_token": UNKNOWN,
                "model_max_length": MAX_PROMPT_TOKENS,
            }
        )

    return router
