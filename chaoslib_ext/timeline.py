"""
The records of a run on disk: sample rows, one-second summaries, and their framing.

A row file is the magic `CXROWS1\n` followed by blocks; a seconds file is `CXSECS1\n` followed by blocks.
A block is `<II` (payload bytes, CRC-32 of the payload) and a payload of whole records. A block that is cut
off at the end of a file is a torn tail (the writer died); any other bad block is corruption.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

ROWS_MAGIC = b"CXROWS1\n"
SECONDS_MAGIC = b"CXSECS1\n"
BLOCK = struct.Struct("<II")
ROW = struct.Struct("<qIIHBB")
SECOND = struct.Struct("<12I")
LATE_US = 50_000  # sent later than this by the generator's own fault: unknown, neither up nor down


class Outcome(IntEnum):
    """How one sample ended. The closed list; numbers are for ever."""

    OK = 0
    STATUS = 1  # an answer with a status that the step's check refuses
    CHECK = 2  # an answer whose content the check refuses
    TIMEOUT = 3
    CONNECT = 4  # no connection: refused, unreachable
    RESET = 5  # the connection ended before the answer
    OFF_LIMITS = 6  # a redirect to a host the environment does not allow
    UNFINISHED = 7  # sent, still unanswered when the load child had to end
    NOT_SENT = 8  # never sent, by the generator's own fault (in-flight cap, far too late)
    GENERATOR = 9  # an error inside the generator; a timeout or a slow answer while it was held up itself


BAD = frozenset({Outcome.STATUS, Outcome.CHECK, Outcome.TIMEOUT, Outcome.CONNECT, Outcome.RESET, Outcome.OFF_LIMITS, Outcome.UNFINISHED})
UNKNOWN = frozenset({Outcome.NOT_SENT, Outcome.GENERATOR})


@dataclass(slots=True)
class Rows:
    """
    Samples as columns, in the order written (by completion).

    `intended_us`: intended start, microseconds from the run's zero. `late_us`: sent minus intended.
    `latency_us`: end minus intended start (0 where never sent). `endpoint`: index into `meta.json`.
    """

    intended_us: array[int] = field(default_factory=lambda: array("q"))
    late_us: array[int] = field(default_factory=lambda: array("I"))
    latency_us: array[int] = field(default_factory=lambda: array("I"))
    endpoint: array[int] = field(default_factory=lambda: array("H"))
    outcome: array[int] = field(default_factory=lambda: array("B"))

    def __len__(self) -> int:
        return len(self.intended_us)

    def append(self, intended_us: int, late_us: int, latency_us: int, endpoint: int, outcome: int) -> None:
        """Adds one sample."""
        self.intended_us.append(intended_us)
        self.late_us.append(late_us)
        self.latency_us.append(latency_us)
        self.endpoint.append(endpoint)
        self.outcome.append(outcome)


@dataclass(frozen=True, slots=True)
class Second:
    """
    What the load child says about one second of its schedule; `second` counts from the run's zero.

    `scheduled == released + not_released` for that second. `good`, `bad`, `unknown` count journeys that *ended*
    in it. `in_flight` and `overdue` (in flight longer than their limit) are as of its end. `late` counts releases more than 50 ms
    late, `cpu_percent` is of one core.
    """

    second: int
    scheduled: int
    released: int
    not_released: int
    late: int
    good: int
    bad: int
    unknown: int
    in_flight: int
    overdue: int
    cpu_percent: int
    reserved: int = 0

    def pack(self) -> bytes:
        """The 48 bytes of a seconds record."""
        return SECOND.pack(*(getattr(self, name) for name in self.__slots__))


def block(payload: bytes) -> bytes:
    """A payload in its frame."""
    return BLOCK.pack(len(payload), zlib.crc32(payload)) + payload


def blocks(path: Path, magic: bytes) -> Iterator[bytes | None]:
    """
    The payloads of a file; a final None says that the tail was torn.

    Raises ValueError at a bad magic or a bad block that is not the torn tail.
    """
    with path.open("rb") as file:  # block by block: a long run has hundreds of megabytes
        size, head = os.fstat(file.fileno()).st_size, file.read(len(magic))
        if head != magic:
            if magic.startswith(head):
                yield None
                return
            raise ValueError(f"{path.name}: not a file of this kind (got {head!r}, expected {magic!r})")
        at = len(magic)
        while at < size:
            frame = file.read(BLOCK.size)
            if len(frame) < BLOCK.size:
                yield None
                return
            length, crc = BLOCK.unpack(frame)
            end = at + BLOCK.size + length
            payload = file.read(min(length, size - at))
            sound = len(payload) == length and zlib.crc32(payload) == crc
            if not sound and end >= size:
                yield None
                return
            if not sound:
                raise ValueError(f"{path.name}: block at byte {at} does not match its checksum")
            yield payload
            at = end


def read_rows(path: Path, into: Rows) -> bool:
    """Appends the rows of one segment; True when its tail was torn. Raises ValueError on corruption."""
    for payload in blocks(path, ROWS_MAGIC):
        if payload is None:
            return True
        _take_rows(payload, into)
    return False


def _take_rows(payload: bytes, into: Rows) -> None:
    """Appends the rows of a block, a column at a time: ten million are read in a second, not in ten."""
    if len(payload) % ROW.size:
        raise ValueError(f"a block of {len(payload)} bytes holds no whole rows of {ROW.size}")
    if sys.byteorder != "little" or array("I").itemsize != 4:
        for intended_us, late_us, latency_us, endpoint, outcome, _ in ROW.iter_unpack(payload):
            into.append(intended_us, late_us, latency_us, endpoint, outcome)
        return
    words, halves = memoryview(payload).cast("I"), memoryview(payload).cast("H")
    intended = array("q", bytes(len(payload) // ROW.size * 8))
    with memoryview(intended) as whole, whole.cast("B") as raw, raw.cast("I") as parts:
        parts[0::2], parts[1::2] = words[0::5], words[1::5]
    into.intended_us.extend(intended)
    into.late_us.frombytes(words[2::5].tobytes())
    into.latency_us.frombytes(words[3::5].tobytes())
    into.endpoint.frombytes(halves[8::10].tobytes())
    into.outcome.frombytes(memoryview(payload)[18::20].tobytes())


def read_seconds(path: Path) -> tuple[list[Second], bool]:
    """The summaries of one worker, and whether the tail was torn. Raises ValueError on corruption."""
    found: list[Second] = []
    for payload in blocks(path, SECONDS_MAGIC):
        if payload is None:
            return found, True
        found += [Second(*fields) for fields in SECOND.iter_unpack(payload)]
    return found, False
