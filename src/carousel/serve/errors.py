"""Errors of the API, in the shape that OpenAI's clients read."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.responses import Response

from carousel.serve.limits import RETRY_SECONDS
from carousel.text.printable import printable_text

CODES = {
    400: "invalid_request",
    401: "invalid_api_key",
    403: "forbidden_host",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    415: "unsupported_media_type",
    422: "invalid_value",
    429: "too_many_requests",
    500: "internal_error",
    503: "overloaded",
}
"""What each status is called where an error has no name of its own."""
TYPES = {401: "authentication_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An answer that is an error.

    Args:
        status: the HTTP status.
        message: one line for the person who sent the request.
        param: the field of the request that is wrong, if one is.
        code: a name for programs; by default that of the status.
        close: whether the connection ends with the answer, as it does where a body was left.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param = status, message, param
        # The rest of the body was not read, and nobody waits for it.
        self.close = close or status in (408, 413)
        self.code = code or CODES[status]

    def body(self) -> dict[str, Any]:
        """The body of the answer."""
        kind = TYPES.get(self.status)
        kind = kind or ("server_error" if self.status >= 500 else "invalid_request_error")
        return {
            "error": {
                "message": printable_text(self.message),
                "type": kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> Response:
        """The answer itself; it says when to come again, and whether the connection ends."""
        headers = {}
        if self.status in (429, 503):
            headers["Retry-After"] = str(RETRY_SECONDS)
        if self.close:
            headers["Connection"] = "close"
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return Response(to_json(self.body()), self.status, headers, "application/json")


def invalid_body(error: ValidationError) -> ApiError:
    """What is wrong with a body: the first field in which pydantic found a fault.

    Of a field that may have several forms it tells the fault of the one that fits best.

    A body that is no JSON at all is a 400, a field that is missing, unknown or out of range a 422.
    Values that were sent are not repeated.
    """
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    first = faults[0]
    if first["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {first['msg'].removeprefix('Invalid JSON: ')}")
    # What is of another type than a form is not meant as that form.
    best = max(
        (fault for fault in faults if fault["loc"][:1] == first["loc"][:1]),
        key=lambda fault: (not fault["type"].endswith("_type"), len(fault["loc"])),
    )
    # The names of a union's members are no part of the path.
    path = [str(part) for part in best["loc"] if isinstance(part, int) or part.isidentifier()]
    where = ".".join(path)[:80]
    message = best["msg"].replace(" after validation", "")
    return ApiError(422, f"{where or 'the body'}: {message}", param=where or None)
