"""The page at ``/``, which reads the models in the browser."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from carousel.serve.errors import ApiError
from carousel.serve.service import Service, answer
from carousel.web.one_file import MODEL_FILES
from carousel.web.page_files import HEADERS, content_type, read_page


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
        content = await asyncio.to_thread(read_page, path, folders)
        if content is None:
            raise ApiError(404, "there is no such path")
        return Response(content, headers=HEADERS, media_type=content_type(path))

    return [
        Route("/models.json", models),
        Route("/models/{name}/{file}", model_file),
        Route("/{path:path}", page_file),
    ]
