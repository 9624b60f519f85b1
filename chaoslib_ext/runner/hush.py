"""
Who gets which secret, and how they are kept out of all that activities say: errors quote addresses, and answers echo headers.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from chaoslib_ext.experiment import Experiment

HIDDEN = "***"
_AS_REQUESTS = "!#$%&'()*+,/:;=?@[]~"  # what the library behind http activities leaves as it is in an address
SHORTEST = 4  # a shorter value would blank half the words of a line


def values_in(secrets: Any) -> Iterator[str]:
    """Every text in a tree of loaded secrets that is long enough to be one."""
    if isinstance(secrets, dict):
        for value in secrets.values():
            yield from values_in(value)
    elif isinstance(secrets, str) and len(secrets) >= SHORTEST:
        yield secrets


def forms(values: Iterable[str]) -> tuple[str, ...]:
    """The ways in which these values are written: plain, in JSON, in addresses, in base64; the longest first."""
    found = set()
    for value in values:
        found |= {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1], quote(value), quote(value, safe="")}
        found |= {
            quote_plus(value),
            quote(value, safe=_AS_REQUESTS),
            base64.b64encode(value.encode()).decode(),
            base64.urlsafe_b64encode(value.encode()).decode(),
        }
    return tuple(sorted(found, key=len, reverse=True))


def withheld(experiment: Experiment, child: str) -> frozenset[str]:
    """
    The variables of our environment that a child does not get, by its name.

    The secrets of the load profile are for those who send its requests, those of the experiment for its activities; what
    the experiment's configuration names too is for both.
    """
    load = experiment.block.load if experiment.block else None
    theirs = frozenset(load.secrets if load else ())
    own = frozenset(_variables(experiment.document.get("secrets")))
    if child == "load" or child.startswith("readback"):
        return own - theirs
    if child in ("method", "recheck", "rollback"):
        return theirs - own - frozenset(_variables(experiment.document.get("configuration")))
    return theirs | own


def _variables(part: Any) -> Iterator[str]:
    """The variables that a part of an experiment names with `type: env`."""
    if isinstance(part, dict):
        if part.get("type") == "env" and isinstance(part.get("key"), str):
            yield part["key"]
        for value in part.values():
            yield from _variables(value)


def hushed(text: str, words: Iterable[str]) -> str:
    """The text with every one of `words` replaced."""
    for word in words:
        text = text.replace(word, HIDDEN)
    return text
