"""The OpenAPI description: true, since it is made of the classes that check the requests."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from carousel.serve import schemas

REF = "#/components/schemas/{model}"
ERRORS = {
    400: "The request can't be read, or the model can't answer it",
    401: "No valid API key was sent",
    403: "The server was asked for by a foreign name",
    404: "There is no such model or session",
    408: "The request came too slowly",
    413: "The request is too large",
    415: "The body is not JSON",
    422: "A field is missing, unknown or out of its range",
    429: "Too much work waits; Retry-After says when to come again",
    503: "Too many requests are under way; Retry-After says when to come again",
}
ALWAYS = (401, 403, 503)
"""What any route may answer."""
OF_BODIES = (400, 408, 413, 415, 422)
"""What a route that takes a body may answer."""
_requests: set[type[BaseModel]] = set()


def documented(
    request: type[BaseModel] | None, response: type[BaseModel], *errors: int
) -> dict[str, Any]:
    """What FastAPI writes down of a route whose handler parses its body itself.

    Args:
        request: what the body holds; None for none.
        response: what the answer holds.
        errors: further statuses.
    """
    statuses = {*ALWAYS, *errors, *(OF_BODIES if request else ())}
    extra: dict[str, Any] = {}
    if request is not None:
        _requests.add(request)
        schema = {"$ref": REF.format(model=request.__name__)}
        content = {"application/json": {"schema": schema}}
        extra["requestBody"] = {"required": True, "content": content}
    return {
        "response_model": response,
        "openapi_extra": extra,
        "responses": {
            status: {"model": schemas.ErrorBody, "description": ERRORS[status]}
            for status in sorted(statuses)
        },
    }


def describe(app: FastAPI, *, with_keys: bool) -> None:
    """Have an application describe its requests as they are checked."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            table = get_openapi(title=app.title, version=app.version, routes=app.routes)
            ordered = sorted(_requests, key=lambda kind: kind.__name__)
            _, found = models_json_schema(
                [(kind, "validation") for kind in ordered], ref_template=REF
            )
            components = table.setdefault("components", {})
            components.setdefault("schemas", {}).update(found["$defs"])
            if with_keys:
                components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
                table["security"] = [{"key": []}]
            app.openapi_schema = table
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
