"""
The undo ledger: the way back from every mutation, on disk before the mutation leaves.

One frame a line: CRC-32 of the JSON in 8 hex digits, a space, canonical JSON, a line feed. Frames are
numbered densely from 1. A last line without its line feed is torn (its writer died before the fsync, so it
had not mutated yet) and is skipped; zeros at the end are preallocated space. Anything else that does not
check is corruption, which is never guessed at.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from chaoslib_ext import state
from chaoslib_ext.clock import monotonic_ns
from chaoslib_ext.errors import LedgerCorrupt

VERSION = 1
RECS = frozenset({"FUSE", "INTENT", "AMBIG", "APPLIED", "REJECTED", "EFFECT", "UNDO_TRY", "UNDONE", "CONFLICT", "GONE", "STUCK", "ACCEPTED"})
TERMINAL = frozenset({"REJECTED", "UNDONE", "GONE", "ACCEPTED"})
FINAL = "final"  # the note of an undo after which nothing could inject any more
LOCK_WAIT_S = 5.0  # chosen by feel: an append takes milliseconds; longer means that its writer is stopped
_LINE = re.compile(rb"([0-9a-f]{8}) (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Target:
    """What is hit; `uid` names one incarnation, never reused. All empty for a frame about a whole fault."""

    platform: str = ""
    identity: str = ""
    kind: str = ""
    ns: str = ""
    name: str = ""
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """
    One record of the ledger; `seq` and `t_ns` are given by `Ledger.append`.

    `t_ns` counts from the run's zero. `expires_ns` is on the boot clock (0: never). `ours` is what heal needs
    to recognise and strip our part, `prior` the minimum of what was there before. `effect` is
    `{"lo_ns", "hi_ns", "proof"}` on EFFECT frames.
    """

    fault: str
    rec: str
    handler: str = ""
    target: Target = Target()
    ours: dict[str, Any] = field(default_factory=dict)
    prior: dict[str, Any] = field(default_factory=dict)
    kind: str = "held"
    expires_ns: int = 0
    effect: dict[str, Any] | None = None
    note: str = ""
    seq: int = 0
    t_ns: int = 0
    v: int = VERSION

    def line(self) -> bytes:
        """The frame as it stands in the file."""
        record = asdict(self)
        record["target"] = record["target"] if self.target != Target() else {}
        text = json.dumps(record, sort_keys=True, separators=(",", ":")).encode("ascii")
        return b"%08x %s\n" % (zlib.crc32(text), text)


_NAMES = frozenset(item.name for item in fields(Frame))


@dataclass(frozen=True, slots=True)
class Contents:
    """The frames of a ledger, the byte where they end, and whether a torn last line follows."""

    frames: tuple[Frame, ...]
    end: int
    torn: bool


def _frame(line: bytes) -> Frame:
    match = _LINE.fullmatch(line)
    if match is None or int(match[1], 16) != zlib.crc32(match[2]):
        raise LedgerCorrupt("does not match its checksum")
    record = json.loads(match[2])
    if not isinstance(record, dict) or record.get("v") != VERSION:
        version = record.get("v") if isinstance(record, dict) else None
        raise LedgerCorrupt(f"has version {version!r}, expected {VERSION}; recover with the release that wrote it")
    if record.keys() != _NAMES or record["rec"] not in RECS:
        raise LedgerCorrupt(f"is no frame of version {VERSION} (rec {record.get('rec')!r})")
    try:
        record["target"] = Target(**record["target"])
    except TypeError as error:
        raise LedgerCorrupt(f"has no proper target: {error}") from error
    return Frame(**record)


def parse(data: bytes, where: str) -> Contents:
    """The contents of a ledger file. Raises LedgerCorrupt, naming `where`, the frame and what to do."""
    whole = data.rstrip(b"\0")
    frames: list[Frame] = []
    at = 0
    while (stop := whole.find(b"\n", at)) >= 0:
        try:
            frame = _frame(whole[at:stop])
            if frame.seq != len(frames) + 1:
                raise LedgerCorrupt(f"has number {frame.seq}")
        except (LedgerCorrupt, ValueError) as error:
            raise LedgerCorrupt(f"{where}: frame {len(frames) + 1} at byte {at} {error}; look at the targets it names before any other run") from error
        frames.append(frame)
        at = stop + 1
    return Contents(tuple(frames), at, at < len(whole))


def read(path: Path) -> Contents:
    """The contents of a ledger; empty when there is none. Raises LedgerCorrupt, and OSError when it cannot be read."""
    try:
        return parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        return Contents((), 0, False)


def salvage(path: Path) -> list[Frame]:
    """
    Every single frame of a ledger that checks, corrupt or not; never raises for its content.

    Undoing is harmless where nothing happened, so what a corrupt ledger still says is healed, and the run stays DIRTY.
    """
    found: list[Frame] = []
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            found.append(_frame(line.strip(b"\0")))
        except (LedgerCorrupt, ValueError):
            continue
    return found


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
    """How one attempt to undo an entry ended: UNDONE, GONE or CONFLICT, or RETRY; and why."""

    rec: str
    why: str = ""


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


class Ledger:
    """
    The ledger of one run, as every process of the run appends to it and reads it.

    `zero_ns` is the run's zero on CLOCK_MONOTONIC.
    """

    def __init__(self, path: Path, zero_ns: int) -> None:
        self.path = path
        self.zero_ns = zero_ns

    @classmethod
    def of_run(cls, folder: Path) -> Ledger:
        """The ledger in a state folder of a run."""
        return cls(folder / state.LEDGER, state.zero_ns(folder))

    def now_ns(self) -> int:
        """Nanoseconds since the zero of the run."""
        return monotonic_ns() - self.zero_ns

    def read(self) -> Contents:
        """See `read`."""
        return read(self.path)

    def append(self, frame: Frame) -> Frame:
        """
        Writes a frame durably and returns it with its number and time.

        When this returns, the frame is on disk. Raises LedgerCorrupt, and OSError when it could not be written
        (also TimeoutError when another writer holds the lock for 5 s): then the mutation must not be made.
        """
        fresh = not self.path.exists()
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(fd, self.path)
            written = self._write(fd, frame)
        finally:
            os.close(fd)  # also unlocks
        if fresh:
            state.sync_folder(self.path.parent)
        return written

    def _write(self, fd: int, frame: Frame) -> Frame:
        contents = parse(_all(fd), str(self.path))
        if contents.torn:
            os.ftruncate(fd, contents.end)
        numbered = replace(frame, seq=len(contents.frames) + 1, t_ns=self.now_ns())
        line = numbered.line()
        if os.pwrite(fd, line, contents.end) != len(line):
            os.ftruncate(fd, contents.end)
            raise OSError(f"{self.path}: the frame was not written whole (is the disk full?)")
        os.fsync(fd)  # the undo must be on disk before the fault is real
        return numbered


def _all(fd: int) -> bytes:
    parts, at = [], 0
    while part := os.pread(fd, 1 << 20, at):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def _lock(fd: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{path}: another process has held its lock for {LOCK_WAIT_S:g} s") from error
            time.sleep(0.002)  # flock has no deadline of its own
