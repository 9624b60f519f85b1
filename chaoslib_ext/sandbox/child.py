"""One child process of the keeper: started, watched, and started again after a pause that grows."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaoslib_ext.process.client import start_ticks, uid
from chaoslib_ext.sandbox.launch import spawn

_LONGEST_PAUSE_S = 30.0
_SOUND_S = 60.0  # alive for this long, a child's earlier crashes are forgotten
_POLL_S = 0.05


def pause_s(crashes: int) -> float:
    """Seconds before the restart after this many crashes in a row: none, then 1 s doubling to 30 s."""
    return 0.0 if crashes <= 1 else min(_LONGEST_PAUSE_S, 2.0 ** (crashes - 2))


class Gate:
    """Whether children may be started: shut while a zone is held."""

    def __init__(self, is_open: bool = True) -> None:
        self.event = asyncio.Event()
        if is_open:
            self.event.set()

    @property
    def is_open(self) -> bool:
        """Whether children may be started now."""
        return self.event.is_set()


@dataclass(frozen=True, slots=True)
class Program:
    """What a child runs, where its output goes, and whether it is restarted when it ends."""

    command: Sequence[str]
    log: Path
    restarts: bool = True


class Child:
    """A process that should run, and what is known of its present or last incarnation."""

    def __init__(self, program: Program, gate: Gate, changed: Callable[[], None]) -> None:
        self.pid = 0
        self.ticks = 0
        self.starts = 0
        self.ready = False
        self._program = program
        self._gate = gate
        self._changed = changed
        self._process: subprocess.Popen[bytes] | None = None
        self._crashes = 0
        self._wake = asyncio.Event()

    @property
    def running(self) -> bool:
        """Whether it is started and has not been seen to end."""
        return self._process is not None

    @property
    def uid(self) -> str:
        """The uid of the present or last incarnation; empty before the first."""
        return uid(self.pid, self.ticks) if self.pid else ""

    async def keep(self) -> None:
        """Keeps it running for ever: again at once after the first crash, then after growing pauses; not while its gate is shut."""
        while True:
            await self._gate.event.wait()
            self._wake.clear()
            began_s = time.monotonic()
            self._start()
            await self.gone()
            self._ended(time.monotonic() - began_s)
            await self._pause()

    def revive(self) -> None:
        """Ends a pause and forgets earlier crashes: what a new machine's kubelet does."""
        self._crashes = 0
        self._wake.set()

    def signal(self, signum: int) -> None:
        """Sends a signal to it if it runs."""
        if self._process is not None:
            self._process.send_signal(signum)

    async def gone(self) -> None:
        """Returns when the present incarnation has ended, and reaps it."""
        process = self._process
        if process is None:
            return
        try:
            fd = os.pidfd_open(process.pid)
        except OSError:  # an old kernel: look now and then
            while process.poll() is None:
                await asyncio.sleep(_POLL_S)
            return
        try:
            await readable(fd)
        finally:
            os.close(fd)
        process.wait()

    def _start(self) -> None:
        self._process = spawn(self._program.command, self._program.log)
        self.pid, self.ticks = self._process.pid, start_ticks(self._process.pid) or 0
        self.starts += 1
        self._changed()

    def _ended(self, lived_s: float) -> None:
        self._process, self.ready = None, False
        if not self._gate.is_open:
            self._crashes = 0  # the machine was taken away; that is no crash of the program
        else:
            self._crashes = 1 if lived_s >= _SOUND_S else self._crashes + 1
        self._changed()

    async def _pause(self) -> None:
        limit_s = pause_s(self._crashes) if self._program.restarts else None
        try:
            await asyncio.wait_for(self._wake.wait(), limit_s)
        except TimeoutError:
            pass


async def readable(fd: int) -> None:
    """Returns when a file descriptor becomes readable: for a pidfd, when the process has ended."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(fd, end)
    try:
        await ended
    finally:
        loop.remove_reader(fd)
