"""
The undo ledger: the way back from every mutation, on disk before the mutation leaves.

`frames` has its format. The file is made, and its space reserved, together with the run, so that a full disk cannot keep an
intent or an undo from being recorded; what needs more space than that grows as any file does.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chaoslib_ext import state
from chaoslib_ext.clock import monotonic_ns
from chaoslib_ext.errors import LedgerCorrupt
from chaoslib_ext.frames import NOTHING, RECS, VERSION, Contents, Frame, Target, parse, salvage

__all__ = [
    "FINAL", "LOCK_WAIT_S", "NOTHING", "RECS", "TERMINAL", "VERSION", "Contents", "Entry", "Frame", "Ledger", "Step", "Target",
    "copy", "effect_frame", "entries", "parse", "pending", "read", "salvage", "untouched",
]  # fmt: skip

TERMINAL = frozenset({"REJECTED", "UNDONE", "GONE", "ACCEPTED"})
FINAL = "final"  # the note of an undo after which nothing could inject any more
LOCK_WAIT_S = 5.0  # chosen by feel: an append takes milliseconds; longer means that its writer is stopped
_CHUNK = 1 << 14  # bytes
_RESERVED = bytes(_CHUNK)
_NO_FILE = (0, 0)


def read(path: Path) -> Contents:
    """The contents of a ledger; empty when there is none. Raises LedgerCorrupt, and OSError when it cannot be read."""
    return Ledger(path, 0).read()


def untouched(path: Path) -> bool:
    """Whether nothing was ever written into a ledger; also where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(1) in (b"", b"\0")
    except FileNotFoundError:
        return True


def copy(source: Path, copy_of_it: Path) -> None:
    """Copies a ledger without the space that was only reserved; one that was never written into is not copied."""
    if not untouched(source):
        copy_of_it.write_bytes(source.read_bytes().rstrip(b"\0"))


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One part of a fault on one target, and how far it got; `rec` is its latest record, `seq` that of its intent.

    `settled` says that the fate of the mutation is known (applied, rejected, or healed when nothing could
    inject any more): what is not settled may still land after it was found undone. `raced` says that it landed
    between an undo's reading and its record: that record then proves nothing.
    """

    fault: str
    handler: str
    target: Target
    ours: dict[str, Any]
    prior: dict[str, Any]
    kind: str
    seq: int
    rec: str
    expires_ns: int
    note: str = ""
    settled: bool = False
    raced: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same entry: fault, handler, target uid."""
        return (self.fault, self.handler, self.target.uid)

    @property
    def pending(self) -> bool:
        """Whether there is something to undo, or not proven undone."""
        return self.kind == "held" and self.rec not in TERMINAL


@dataclass(frozen=True, slots=True)
class Step:
    """
    How one attempt to undo an entry ended: UNDONE, GONE, CONFLICT or STUCK, or RETRY; and why.

    `fenced` says that the target has confirmed to take nothing of this fault any more.
    """

    rec: str
    why: str = ""
    fenced: bool = False


def _next(entry: Entry | None, frame: Frame) -> Entry:
    if entry is None or frame.rec == "INTENT":
        target, ours, prior = frame.target, frame.ours, frame.prior
        begun = Entry(frame.fault, frame.handler, target, ours, prior, frame.kind, frame.seq, frame.rec, frame.expires_ns, frame.note)
        return replace(begun, settled=frame.rec == "APPLIED")
    landed = frame.rec in ("APPLIED", "AMBIG")
    raced = (landed and entry.rec == "UNDO_TRY") or (entry.raced and frame.rec != "UNDO_TRY")
    rec = "APPLIED" if entry.raced and frame.rec in ("UNDONE", "GONE") else frame.rec
    settled = entry.settled or frame.rec in ("APPLIED", "REJECTED") or frame.note == FINAL
    return replace(entry, rec=rec, note=frame.note, settled=settled, raced=raced and rec == frame.rec)


def entries(frames: Iterable[Frame]) -> list[Entry]:
    """All entries, the newest intent first: the order in which they are healed."""
    found: dict[tuple[str, str, str], Entry] = {}
    for frame in frames:
        if frame.handler:  # frames about a whole fault have none
            key = (frame.fault, frame.handler, frame.target.uid)
            found[key] = _next(found.get(key), frame)
    return sorted(found.values(), key=lambda entry: -entry.seq)


def pending(frames: Iterable[Frame]) -> list[Entry]:
    """The entries that are not proven undone, newest first."""
    return [entry for entry in entries(frames) if entry.pending]


def effect_frame(frames: Sequence[Frame], fault: str) -> Frame | None:
    """The first frame that says the fault was seen in effect, or None."""
    return next((frame for frame in frames if frame.rec == "EFFECT" and frame.fault == fault), None)


@dataclass(frozen=True, slots=True)
class _Seen:
    """How far a ledger was read: the file, its contents, and the last line of them as it stood there."""

    file: tuple[int, int] = _NO_FILE
    contents: Contents = NOTHING
    last: bytes = b""


class Ledger:
    """
    The ledger of one run, as every process of the run appends to it and reads it.

    `zero_ns` is the run's zero on CLOCK_MONOTONIC. `made` says that its file was made with the run: then one that is gone, or
    shorter than it was made, has lost something. What was read once is not read again, only looked at whether it is still there.
    """

    def __init__(self, path: Path, zero_ns: int, made: bool = False) -> None:
        self.path, self.zero_ns, self.made = path, zero_ns, made
        self._seen = _Seen()

    @classmethod
    def of_run(cls, folder: Path) -> Ledger:
        """The ledger in a state folder of a run."""
        return cls(folder / state.LEDGER, state.zero_ns(folder), state.ledger_made(folder))

    def now_ns(self) -> int:
        """Nanoseconds since the zero of the run."""
        return monotonic_ns() - self.zero_ns

    def read(self, whole: bool = False) -> Contents:
        """
        The contents of the ledger, the same object when nothing was added; empty when there is none and none was made.

        `whole` reads it from its beginning. Raises LedgerCorrupt, also when frames that were read before are gone, and OSError when it cannot be read.
        """
        fd = self._open(os.O_RDONLY)
        if fd is None:
            return NOTHING
        if whole:
            self._seen = replace(self._seen, file=_NO_FILE)
        try:
            return self._look(fd)
        except LedgerCorrupt:  # or a writer was at it: its pages do not appear in order
            with suppress(TimeoutError):
                _lock(fd, self.path, fcntl.LOCK_SH)
            return self._look(fd)
        finally:
            os.close(fd)

    def append(self, frame: Frame) -> Frame:
        """
        Writes a frame durably and returns it with its number and time.

        When this returns, the frame is on disk. Raises LedgerCorrupt, and OSError when it could not be written
        (also TimeoutError when another writer holds the lock for 5 s): then the mutation must not be made.
        """
        fd = self._open(os.O_RDWR)
        fresh = fd is None
        if fd is None:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(fd, self.path, fcntl.LOCK_EX)
            written = self._write(fd, frame)
        finally:
            os.close(fd)  # also unlocks; after an fsync that failed nothing is tried on this descriptor again
        if fresh:
            state.sync_folder(self.path.parent)
        return written

    def _open(self, flags: int) -> int | None:
        """A descriptor, or None where there is no ledger yet."""
        try:
            return os.open(self.path, flags | os.O_CLOEXEC)
        except FileNotFoundError as error:
            if self.made or self._seen.contents.frames:
                raise LedgerCorrupt(f"{self.path}: the undo ledger is gone; nothing more is injected, and what it said is not proven healed") from error
            return None

    def _look(self, fd: int) -> Contents:
        """What the file holds now; only what follows what was seen is read, when that is still there."""
        info, seen = os.fstat(fd), self._seen
        known = seen.contents
        if self.made and info.st_size < state.LEDGER_BYTES:
            raise LedgerCorrupt(f"{self.path}: is {info.st_size} bytes long, and was made with {state.LEDGER_BYTES}: its end was cut off")
        file = (info.st_dev, info.st_ino)
        if file == seen.file and os.pread(fd, len(seen.last), known.end - len(seen.last)) == seen.last:
            rest = _from(fd, known.end)
            contents = parse(rest, str(self.path), known)
            last = rest[: contents.end - known.end].rsplit(b"\n", 2)[-2:-1]
        else:
            data = _from(fd, 0, whole=True)
            contents = parse(data, str(self.path))
            if contents.frames[: len(known.frames)] != known.frames:
                raise LedgerCorrupt(f"{self.path}: frames that were in it are not there any more; look at the targets before any other run")
            last = data[: contents.end].rsplit(b"\n", 2)[-2:-1]
        if (contents.end, contents.torn) == (known.end, known.torn):
            contents = known
        self._seen = _Seen(file, contents, last[0] + b"\n" if last else seen.last)
        return contents

    def _write(self, fd: int, frame: Frame) -> Frame:
        contents = self._look(fd)
        if contents.torn:
            _clear(fd, contents.end)
        numbered = replace(frame, seq=len(contents.frames) + 1, t_ns=self.now_ns())
        line = numbered.line()
        if os.pwrite(fd, line, contents.end) != len(line):  # what is there of it is torn, and taken out by the next append
            raise OSError(errno.ENOSPC, "the frame was not written whole (is the disk full?)", str(self.path))
        os.fsync(fd)  # the undo must be on disk before the fault is real
        return numbered


def _clear(fd: int, at: int) -> None:
    """Takes out what follows byte `at`, durably, so that nothing of it mixes with the next line."""
    os.pwrite(fd, bytes(len(_from(fd, at, whole=True).rstrip(b"\0"))), at)
    os.fsync(fd)


def _from(fd: int, at: int, whole: bool = False) -> bytes:
    """
    What stands from byte `at`: to the end of the file, or, unless `whole`, to where only reserved space follows. Reserved space at
    the end is left out in whole pieces: to look at a piece costs a microsecond, to strip it byte by byte fifty.
    """
    parts, reserved = [], 0
    while part := os.pread(fd, _CHUNK, at):
        at += len(part)
        if part == _RESERVED[: len(part)]:
            if not whole:
                break
            reserved += len(part)
            continue
        parts += [bytes(reserved), part]  # something stands behind it all the same
        reserved = 0
    return b"".join(parts)


def _lock(fd: int, path: Path, how: int) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            return fcntl.flock(fd, how | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{path}: another process has held its lock for {LOCK_WAIT_S:g} s") from error
            time.sleep(0.002)  # flock has no deadline of its own
