"""Sending JSON to an endpoint that a person named: one POST, no redirects (a token must not travel on), a limit for the answer."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from chaoslib_ext import __version__
from chaoslib_ext.errors import NotDelivered, UsageError
from chaoslib_ext.report.words import clean

TIMEOUT_S = 30.0
_MOST_ANSWER = 1_000_000


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None makes urllib raise the redirect as an error."""


def address(endpoint: str, path: str) -> str:
    """The address to post to: the endpoint with `path` at its end, once. Raises UsageError for what is no http address."""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--endpoint: got {clean(endpoint, 200)!r}, expected an address like https://collector.example.com:4318")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError("--endpoint: holds a user, a password, a query or a fragment; put the token into an environment variable and name it by --token-env")
    plain = endpoint.rstrip("/")
    return plain if plain.endswith(path) else plain + path


def post(url: str, body: bytes, token: str, timeout_s: float = TIMEOUT_S) -> Any:
    """Posts JSON and returns the JSON of the answer, None where it has none. Raises NotDelivered when it is not taken."""
    headers = {"Content-Type": "application/json", "User-Agent": f"chaosx/{__version__}"}
    if token:
        if not token.isascii() or not token.isprintable():
            raise UsageError("the token holds characters that no HTTP header can carry; nothing was sent")
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout_s) as answer:
            data = answer.read(_MOST_ANSWER)
    except urllib.error.HTTPError as error:
        with error:
            told = error.read(2000).decode(errors="replace")
        raise NotDelivered(f"{url}: answered {error.code} {clean(error.reason, 80)}: {clean(told, 200)}") from error
    except (OSError, HTTPException) as error:  # URLError is an OSError
        raise NotDelivered(f"{url}: cannot be reached: {clean(getattr(error, 'reason', error), 200)}") from error
    try:
        return json.loads(data) if data.strip() else None
    except ValueError:
        return None  # it was taken (2xx); what it says beside that is its own affair
