"""
The signals that ask a run for its end: INT, TERM, HUP and QUIT.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def on_signals(handler: Callable[[int, Any], Any]) -> None:
    """Hands all of them to `handler`; under nohup a closed terminal means nothing, and stays ignored."""
    for number in SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def interruptible() -> None:
    """From here on each of them raises KeyboardInterrupt: what was begun is put away, and the exit code is one of ours."""
    on_signals(signal.default_int_handler)
