"""The largest requests that are taken. Each size is checked before anything is made for it."""

from __future__ import annotations

MAX_BODY_BYTES = 2**20
"""Of one request."""
MAX_PROMPT_TOKENS = 2**16
"""Of all prompts of one request together, and of one text that a session reads."""
MAX_PROMPTS = 128
"""Prompts of one request, times ``n``: so many texts are continued side by side."""
MAX_N = 16
"""Continuations of one prompt."""
MAX_TOKENS = 4096
"""Tokens that are generated for one continuation."""
MAX_LOGPROBS = 20
"""Alternatives that are listed at each token."""
MAX_STOPS = 4
MAX_STOP_LENGTH = 256
"""Characters of one stop text."""
MAX_WORDS = 100
"""``k`` of the next words."""
MAX_PREFIX_LENGTH = 64
"""Characters of a half-typed word."""
MAX_EXPLAINED_LENGTH = 4000
"""Characters of a text that is explained."""
MAX_EXPLAINED_TOKENS = 200
"""Tokens of a text that is explained: the numbers of each gate at each token go out."""
MAX_CLAMPS = 16
MAX_STATE_BYTES = 2**23
"""Of the states after all prompts of one request, which are kept until they are continued."""
MAX_SESSION_TOKEN_LENGTH = 2**19
"""Characters of a session that the client keeps."""

MAX_REQUESTS = 256
"""Requests that are under way in one worker; more are answered with 503."""
MAX_WAITING = 256
"""Pieces of work that wait for a model; more are answered with 429."""
MAX_CONNECTIONS = 900
"""Connections of one worker; below the 1024 open files that many systems allow a process."""
MAX_SESSIONS = 10_000
"""Sessions that a server keeps, unless told otherwise; then the oldest go."""
MAX_SESSION_BYTES = 2**29
"""What the states of these sessions may take together; with a neural cache each has many."""
SESSION_SECONDS = 3600.0
"""How long a session is kept without being used, unless told otherwise."""

HEADER_SECONDS = 10.0
"""A client must have sent the head of a request by then."""
BODY_SECONDS = 10.0
"""And its body by then."""
SEND_SECONDS = 30.0
"""A client that takes no byte for so long is given up."""
IDLE_SECONDS = 75
"""A connection may wait so long for its next request."""
DRAIN_SECONDS = 1.0
"""From SIGTERM on ``/ready`` says no; so long new requests are still taken."""
FINISH_SECONDS = 30
"""Then running requests have so long to finish."""
RETRY_SECONDS = 1
"""What an overloaded server's ``Retry-After`` asks for."""
