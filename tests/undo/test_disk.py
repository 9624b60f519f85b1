"""
Whatever a disk does to a ledger, no intent is lost and nothing is misread: every cut, every changed byte, every torn write.

The ledgers are those of `golden/v1.wal`, which holds frames of every handler of its time. Nothing here needs a process.
"""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from chaoslib_ext.errors import LedgerCorrupt
from chaoslib_ext.frames import RECS, SECTOR
from chaoslib_ext.heal import HANDLERS
from chaoslib_ext.ledger import Entry, Frame, Ledger, Target, entries, parse, salvage

GOLDEN = Path(__file__).with_name("golden")
RESERVED = bytes(1024)  # as much of the reserved space as a frame can reach into
DATA = (GOLDEN / "v1.wal").read_bytes()
FRAMES = parse(DATA, "golden").frames
LINES = DATA.splitlines(keepends=True)


def of_handlers() -> Iterator[tuple[str, bytes]]:
    """The ledgers of single handlers, and one of the frames that have none; numbered from 1 each."""
    for handler in sorted({frame.handler for frame in FRAMES}):
        own = [frame for frame in FRAMES if frame.handler == handler][:5]
        yield handler or "no handler", b"".join(Frame(**{**_fields(frame), "seq": number}).line() for number, frame in enumerate(own, 1))


def _fields(frame: Frame) -> dict[str, object]:
    return {name: getattr(frame, name) for name in frame.__slots__}


@pytest.mark.parametrize("version", sorted(int(path.stem[1:]) for path in GOLDEN.glob("v*.wal")))
def test_a_ledger_of_every_version_ever_released_is_read_for_ever(version: int) -> None:
    """The golden files are never written again: what a release left behind is healed by all later ones."""
    expected = json.loads((GOLDEN / f"v{version}.json").read_text(encoding="utf-8"))
    frames = parse((GOLDEN / f"v{version}.wal").read_bytes(), "golden").frames
    assert [asdict(frame) for frame in frames] == expected["frames"]
    assert [[one.fault, one.handler, one.rec] for one in entries(frames) if one.pending] == expected["pending"]
    assert {frame.handler for frame in frames if frame.handler and frame.kind == "held"} <= set(HANDLERS)


def test_the_golden_ledger_has_every_kind_of_record() -> None:
    assert {frame.rec for frame in FRAMES} == RECS


def test_a_cut_at_any_byte_leaves_exactly_the_frames_before_it() -> None:
    """Cut off, as a file that grows is, and cut to zeros, as reserved space is."""
    cases = 0
    for handler, data in of_handlers():
        whole = parse(data, handler).frames
        for cut in range(len(data) + 1):
            expected = whole[: data[:cut].count(b"\n")]
            for rest in (b"", bytes(len(data) - cut) + RESERVED):
                found = parse(data[:cut] + rest, handler)
                assert (found.frames, found.torn) == (expected, cut != found.end), (handler, cut)
                cases += 1
    print(f"{cases} cuts: each read as the frames before it")
    assert cases >= 15_000


def test_a_changed_bit_is_never_read_as_something_else() -> None:
    """One bit of each byte in the ledgers of all handlers, all eight of one of them, and those of the reserved space behind it."""
    cases = 0
    for handler, data in of_handlers():
        whole = parse(data, handler).frames
        for at in range(len(data)):
            for bit in range(8) if handler == "process.end_tracer" else (at % 8,):
                changed = bytearray(data + RESERVED)
                changed[at] ^= 1 << bit
                with pytest.raises(LedgerCorrupt):
                    parse(bytes(changed), handler)
                cases += 1
        for at, bit in itertools.product(range(len(data), len(data) + len(RESERVED), 29), range(8)):
            changed = bytearray(data + RESERVED)
            changed[at] ^= 1 << bit
            assert parse(bytes(changed), handler).frames == whole
            cases += 1
    print(f"{cases} changed bits: 0 misread")
    assert cases >= 15_000


def test_of_a_damaged_ledger_every_fault_is_still_healed(tmp_path: Path) -> None:
    """Every byte changed in turn: the frame it is in may be lost, and no other; an applied fault stands in two."""
    path = tmp_path / "undo.wal"
    recs = ("INTENT", "APPLIED")
    own = [Frame(f"fault {n}", rec, "process.thaw", Target(uid=str(n)), {"marker": "m"}) for n in range(2) for rec in recs]
    lines = [Frame(**{**_fields(frame), "seq": number}).line() for number, frame in enumerate(own, 1)]
    data = b"".join(lines)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << (at % 8)
        path.write_bytes(changed)
        found = salvage(path)
        hit = data[:at].count(b"\n")
        assert {frame.line() for frame in found} >= {line for number, line in enumerate(lines) if number != hit}, at
        assert {entry.fault for entry in entries(found) if entry.pending} == {"fault 0", "fault 1"}, at


# the power goes ------------------------------------------------------------------------------------------------------


def sectors(line: bytes, at: int) -> list[tuple[int, int]]:
    """From where to where in the file each sector of a line reaches."""
    cuts = sorted({at, at + len(line), *range(at // SECTOR * SECTOR + SECTOR, at + len(line), SECTOR)})
    return list(itertools.pairwise(cuts))


def subsets(pieces: list[tuple[int, int]]) -> Iterable[tuple[tuple[int, int], ...]]:
    return itertools.chain.from_iterable(itertools.combinations(pieces, n) for n in range(len(pieces) + 1))


def unsynced(durable: bytes, at: int, line: bytes, landed: Iterable[tuple[int, int]]) -> bytes:
    """A file whose last line had not been synced: of it only some sectors are there, in whatever order they were written."""
    data = bytearray(durable + bytes(len(line)) + RESERVED)
    for first, last in landed:
        data[first:last] = line[first - at : last - at]
    return bytes(data)


def states() -> Iterator[tuple[int, bytes, int]]:
    """Every state in which the power can leave the golden ledger while a frame is written: how many frames are durable, the file, how many may be read."""
    at = 0
    for number, line in enumerate(LINES):
        for shift in range(0, SECTOR, 43):  # as if a longer frame stood before it: each line meets the edges of sectors everywhere
            filler = Frame("x", "EFFECT", note="x" * shift, seq=number).line() if number else b""
            durable = DATA[: at - len(LINES[number - 1])] + filler if number else b""
            pieces = sectors(line, len(durable))
            for landed in subsets(pieces):
                data = unsynced(durable, len(durable), line, landed)
                yield number, data, number + (len(landed) == len(pieces))
        at += len(line)


def test_what_the_power_cut_off_is_torn_and_never_corrupt(tmp_path: Path) -> None:
    cases = 0
    for durable, data, readable in states():
        found = parse(data, "power")
        assert len(found.frames) == readable, (durable, readable)
        cases += 1
    print(f"{cases} states of power loss: 0 lost, 0 misread")
    assert cases >= 1_000


def test_after_a_power_loss_the_next_append_finds_its_place(tmp_path: Path) -> None:
    path = tmp_path / "undo.wal"
    for durable, data, readable in itertools.islice(states(), 0, None, 17):
        path.write_bytes(data)
        written = Ledger(path, 0).append(Frame("next", "INTENT", "process.thaw"))
        contents = Ledger(path, 0).read()
        assert (written.seq, contents.torn) == (readable + 1, False)
        assert contents.frames[-1] == written and len(contents.frames) >= durable


def test_the_power_may_go_again_while_a_torn_line_is_taken_out() -> None:
    """It is taken out, durably, before the next line is written; else the two would mix into something corrupt."""
    line = LINES[5]
    durable = b"".join(LINES[:5])
    at = len(durable)
    pieces = sectors(line, at)
    for landed in list(subsets(pieces))[:-1]:
        for cleared in subsets(list(landed)):
            data = bytearray(unsynced(durable, at, line, landed))
            for first, last in cleared:
                data[first:last] = bytes(last - first)
            assert len(parse(bytes(data), "twice").frames) == 5


# what a reader has seen ------------------------------------------------------------------------------------------------


def test_a_reader_reads_on_where_it_was_and_says_so_when_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "undo.wal"
    writer, reader = Ledger(path, 0), Ledger(path, 0)
    assert reader.read().frames == ()
    for number in range(1, 40):
        writer.append(Frame(f"f{number}", "INTENT", "process.thaw", note="x" * 300))
        assert [frame.seq for frame in reader.read().frames] == list(range(1, number + 1))
    assert reader.read() is reader.read()
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\n") + 1])
    with pytest.raises(LedgerCorrupt, match="frames that were in it are not there any more"):
        reader.read()
    path.unlink()
    with pytest.raises(LedgerCorrupt, match="is gone"):
        reader.read()
    with pytest.raises(LedgerCorrupt, match="is gone"):
        writer.append(Frame("f", "INTENT"))
    assert not path.exists()


def test_a_reader_that_reads_on_finds_what_was_changed_before_when_it_reads_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "undo.wal"
    path.write_bytes(DATA + RESERVED)
    reader = Ledger(path, 0)
    reader.read()
    changed = bytearray(DATA + RESERVED)
    changed[100] ^= 1
    path.write_bytes(changed)
    with pytest.raises(LedgerCorrupt, match="frame 1 at byte 0"):
        reader.read(whole=True)


def test_crafted_frames_are_corruption_and_never_more(tmp_path: Path) -> None:
    good = json.loads(LINES[0][9:])
    wrong: list[object] = [
        [], 1, None, "x", {}, {"v": 1}, {**good, "v": [1]}, {**good, "v": True}, {**good, "v": 2}, {**good, "seq": "1"}, {**good, "seq": True},
        {**good, "target": 3}, {**good, "target": {"uid": 5}}, {**good, "target": {"more": ""}}, {**good, "ours": []}, {**good, "prior": None},
        {**good, "handler": {}}, {**good, "effect": []}, {**good, "rec": "BANG"}, {**good, "rec": ["INTENT"]}, {**good, "note": None}, {**good, "more": 1},
        {**good, "t_ns": 1.5}, {**good, "fault": 7},
    ]  # fmt: skip
    texts = [json.dumps(one).encode() for one in wrong] + [b"[" * 100_000, b'{"v":' * 50_000, b"\xff\xfe", b"nan", b"{" + b'"a":1,' * 9]
    path = tmp_path / "undo.wal"
    for text in texts:
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        with pytest.raises(LedgerCorrupt):
            parse(line, "crafted")
        path.write_bytes(line)
        assert salvage(path) == []


def test_entries_of_a_damaged_order_never_raise() -> None:
    """A salvaged ledger may have lost any frame: what is left still adds up to entries."""
    for drop in range(len(FRAMES)):
        found: list[Entry] = entries(FRAMES[:drop] + FRAMES[drop + 1 :])
        assert len(found) >= 9
