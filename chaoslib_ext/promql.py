"""
Counter queries: what an SLO's PromQL is turned into before Prometheus is asked for it once a second.

chaosx takes differences of counters itself, series by series. A rate or a sum over a bare selector is therefore
undone: `sum(rate(x[{{.window}}]))` and `sum(x)` become `x`. Only then can a counter that began anew be told apart.
"""

from __future__ import annotations

import re

_SELECTOR = r"[a-zA-Z_:][a-zA-Z0-9_:]*\s*(?:\{(?:[^{}\"'`]|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`)*\})?"
_BARE = re.compile(rf"\s*({_SELECTOR})\s*")
_RATE = re.compile(rf"\s*(?:rate|increase)\s*\(\s*({_SELECTOR})\s*\[\s*\{{\{{\s*\.window\s*\}}\}}\s*\]\s*\)\s*")
_SUM = re.compile(r"\s*sum\s*\((.*)\)\s*", re.DOTALL)
_WINDOW = re.compile(r"\{\{.*?\}\}")
_OF_TIME = re.compile(r"\b(rate|irate|increase|delta|idelta|deriv|[a-z]+_over_time)\s*\(")


def counter_query(text: str) -> str:
    """
    The query whose value is a counter, or a vector of counters.

    Raises ValueError for one that cannot be: a rate or another function over time that is not `sum(rate(SELECTOR[{{.window}}]))`.
    """
    inner = _SUM.fullmatch(text)
    for one in (text, inner[1] if inner else ""):
        found = _RATE.fullmatch(one) or _BARE.fullmatch(one)
        if found:
            return found[1].strip()
    if _WINDOW.search(text) or _OF_TIME.search(text):
        raise ValueError("expected a counter, or sum(rate(SELECTOR[{{.window}}])): the difference over a window is taken here; leave the rate out")
    return text.strip()


def is_selector(query: str) -> bool:
    """Whether each series of the result is one counter of one process, which may begin anew at 0."""
    return _BARE.fullmatch(query) is not None
