"""The page at ``/``, which reads the models in the browser."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Match, Route

from carousel.serve.errors import ApiError
from carousel.serve.service import Service, answer
from carousel.web.one_file import MODEL_FILES
from carousel.web.page_files import HEADERS, content_type, read_page

READING = ("GET", "HEAD")
METHODS = (*READING, "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""So that a request to no path at all is told so, whatever its method."""


def make_routes(service: Service) -> list[Route]:
    """The routes of the page; the last one takes every path that no other one has taken."""
    folders = {name: context.folder for name, context in service.contexts.items()}

    async def models(request: Request) -> Response:
        response = answer({"models": list(service.contexts), "arguments": {}})
        response.headers.update(HEADERS)
        return response

    async def model_file(request: Request) -> Response:
        context = service.contexts.get(request.path_params["name"])
        name = request.path_params["file"]
        # No other file of the folder is handed out.
        if context is None or name not in MODEL_FILES or not (context.folder / name).is_file():
            raise ApiError(404, "there is no such file")
        path = context.folder / name
        return FileResponse(path, headers=HEADERS, media_type=content_type(name))

    async def page_file(request: Request) -> Response:
        path = request.url.path
        routes = request.app.router.routes
        if any(route.matches(request.scope)[0] is Match.PARTIAL for route in routes):
            raise ApiError(405, f"{request.method} is not taken here: see /openapi.json")
        if request.method not in READING:
            raise ApiError(404, "there is no such path: /openapi.json names all of them")
        content = await asyncio.to_thread(read_page, path, folders)
        if content is None:
            raise ApiError(404, "there is no such path: /openapi.json names all of them")
        return Response(content, headers=HEADERS, media_type=content_type(path))

    return [
        Route("/models.json", models),
        Route("/models/{name}/{file}", model_file),
        Route("/{path:path}", page_file, methods=METHODS),
    ]
