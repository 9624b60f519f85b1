"""
The frames of an undo ledger, as they stand in its file, and as they are read back from it.

One frame a line: CRC-32 of the JSON in 8 hex digits, a space, canonical JSON, a line feed. Frames are numbered densely from
1, and zeros at the end are preallocated space. A last line that is not whole (no line feed, or whole sectors of it are zeros)
is torn: its writer died, or the power went, before the fsync, so nothing was mutated yet; it is skipped. Anything else that
does not check is corruption, which is never guessed at.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import LedgerCorrupt

VERSION = 1
RECS = frozenset({"FUSE", "INTENT", "AMBIG", "APPLIED", "REJECTED", "EFFECT", "UNDO_TRY", "UNDONE", "CONFLICT", "GONE", "STUCK", "ACCEPTED"})
SECTOR = 512  # the smallest piece that a disk writes whole or not at all
_LINE = re.compile(rb"([0-9a-f]{8}) (.*)", re.DOTALL)
_BEGIN = re.compile(rb"([0-9a-f]{8}) \{")


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
_TARGET_NAMES = frozenset(item.name for item in fields(Target))
_TEXTS, _NUMBERS = ("fault", "rec", "handler", "kind", "note"), ("expires_ns", "seq", "t_ns")


@dataclass(frozen=True, slots=True)
class Contents:
    """The frames of a ledger, the byte where they end, and whether a torn last line follows."""

    frames: tuple[Frame, ...]
    end: int
    torn: bool


NOTHING = Contents((), 0, False)


def _read_1(record: dict[str, Any]) -> Frame:
    """A frame of version 1. Raises LedgerCorrupt when it is none."""
    if record.keys() != _NAMES:
        raise LedgerCorrupt("is no frame of version 1: it has other fields")
    target = record["target"]
    if not isinstance(target, dict) or not target.keys() <= _TARGET_NAMES or not all(isinstance(value, str) for value in target.values()):
        raise LedgerCorrupt("has no proper target")
    sound = all(isinstance(record[name], str) for name in _TEXTS) and all(type(record[name]) is int for name in _NUMBERS)
    if not sound or not all(isinstance(record[name], dict) for name in ("ours", "prior")) or not isinstance(record["effect"], dict | None):
        raise LedgerCorrupt("has a field of another type than version 1 has")
    if record["rec"] not in RECS:
        raise LedgerCorrupt(f"is no frame of version 1 (rec {record['rec']!r})")
    return Frame(**{**record, "target": Target(**target)})


READERS: dict[int, Callable[[dict[str, Any]], Frame]] = {1: _read_1}  # one for each version ever released, for ever


def frame_of(line: bytes) -> Frame:
    """The frame of one line, without its line feed. Raises LedgerCorrupt or ValueError when it does not check."""
    match = _LINE.fullmatch(line)
    if match is None or int(match[1], 16) != zlib.crc32(match[2]):
        raise LedgerCorrupt("does not match its checksum")
    try:
        record = json.loads(match[2])
    except RecursionError as error:
        raise LedgerCorrupt("is nested too deeply") from error
    version = record.get("v") if isinstance(record, dict) else None
    reader = READERS.get(version) if type(version) is int else None
    if reader is None:
        known = ", ".join(map(str, READERS))
        raise LedgerCorrupt(f"has version {version!r}, expected {known}; recover with the release that wrote it")
    return reader(record)


def parse(data: bytes, where: str, before: Contents = NOTHING) -> Contents:
    """
    The contents of a ledger file; `data` is what stands after `before`.

    Raises LedgerCorrupt, naming `where`, the frame and what to do.
    """
    whole = data.rstrip(b"\0")
    frames = list(before.frames)
    at = 0
    while (stop := whole.find(b"\n", at)) >= 0:
        try:
            frame = frame_of(whole[at:stop])
            if frame.seq != len(frames) + 1:
                raise LedgerCorrupt(f"has number {frame.seq}")
        except (LedgerCorrupt, ValueError) as error:
            if stop + 1 == len(whole) and _has_hole(whole[at:stop], before.end + at):
                break
            raise _corrupt(where, len(frames) + 1, before.end + at, error) from error
        frames.append(frame)
        at = stop + 1
    if _checks(whole[at:-1]):  # torn would be without a last byte; this one was whole, and its line feed was changed
        raise _corrupt(where, len(frames) + 1, before.end + at, "has lost its line feed")
    return Contents(tuple(frames), before.end + at, at < len(whole))


def _corrupt(where: str, number: int, at: int, what: object) -> LedgerCorrupt:
    return LedgerCorrupt(f"{where}: frame {number} at byte {at} {what}; look at the targets it names before any other run")


def _has_hole(line: bytes, at: int) -> bool:
    """Whether a sector of a line that begins at byte `at` never reached the file. A changed byte cannot look like that."""
    pieces = (line[max(first, 0) : first + SECTOR] for first in range(-(at % SECTOR), len(line), SECTOR))
    return any(piece.count(0) == len(piece) for piece in pieces)


def _checks(line: bytes) -> bool:
    try:
        frame_of(line)
    except (LedgerCorrupt, ValueError):
        return False
    return True


def salvage(path: Path) -> list[Frame]:
    """
    Every single frame of a ledger that checks, corrupt or not; never raises for its content.

    Undoing is harmless where nothing happened, so what a corrupt ledger still says is healed, and the run stays DIRTY.
    A frame is found by its beginning, not by the end of the one before, which may be what was damaged.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return []
    found: list[Frame] = []
    end = 0
    for match in _BEGIN.finditer(data):
        if match.start() < end:
            continue  # inside of a frame that checks
        try:
            _, length = json.JSONDecoder().raw_decode(data[match.end() - 1 :].decode("latin-1"))
            stop = match.end() - 1 + length
            found.append(frame_of(data[match.start() : stop]))
            end = stop
        except (LedgerCorrupt, ValueError, RecursionError):
            continue
    return found
