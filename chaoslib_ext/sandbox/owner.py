"""The end of a sandbox whose owner died: noticed at once, carried out when its faults are healed, or after 5 s."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from chaoslib_ext.process.client import alive
from chaoslib_ext.sandbox.child import readable
from chaoslib_ext.sandbox.control import ask

_GRACE_S = 5.0
_POLL_S = 0.1


async def owner_gone(owner: dict[str, Any]) -> None:
    """Returns when the process recorded as {pid, start_ticks} has ended; at once if it is another one by now."""
    pid, ticks = int(owner["pid"]), int(owner["start_ticks"])
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:  # an old kernel: look now and then
        while alive(pid, ticks):
            await asyncio.sleep(_POLL_S)
        return
    try:
        if alive(pid, ticks):  # checked while the pidfd is held, so the id cannot have been reused since
            await readable(fd)
    finally:
        os.close(fd)


async def faults_healed(still_faulty: Callable[[], Awaitable[bool]]) -> None:
    """Returns when nothing is in force any more, at the latest after 5 s: a healer gets its chance to heal first."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _GRACE_S
    while loop.time() < deadline_s and await still_faulty():
        await asyncio.sleep(_POLL_S)


async def owned_links(sockets: list[str]) -> bool:
    """Whether any of these links belongs to a fault. A link that does not answer belongs to none."""
    for path in sockets:
        try:
            if (await ask(path, {"op": "status"}, 0.5)).get("owner"):
                return True
        except (TimeoutError, OSError, ValueError):
            continue
    return False


def marked(markers: Path) -> bool:
    """Whether a marker of a fault is left in the sandbox."""
    return markers.is_dir() and any(markers.iterdir())
