"""``/health``, ``/ready`` and ``/metrics``."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic_core import to_json
from starlette.responses import Response

from carousel.serve import schemas
from carousel.serve.openapi import documented
from carousel.serve.service import Service, answer


def make_router(service: Service) -> APIRouter:
    """The routes of those who watch the server."""
    router = APIRouter(tags=["health"])

    @router.head("/health", include_in_schema=False)
    @router.get("/health", **documented(None, schemas.Health))
    async def health() -> Response:
        """Whether the server lives. No key is needed."""
        return answer({"status": "stopping" if service.stopping else "ok"})

    ready_answer = documented(None, schemas.Health)
    ready_answer["responses"][503] = {"model": schemas.Health, "description": "It is stopping"}

    @router.head("/ready", include_in_schema=False)
    @router.get("/ready", **ready_answer)
    async def ready() -> Response:
        """Whether new requests are welcome; no longer, once the server was told to stop."""
        if service.stopping:
            return Response(to_json({"status": "stopping"}), 503, media_type="application/json")
        return answer({"status": "ok"})

    @router.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        """All numbers in Prometheus's text format."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router
