"""The ledger survives what can happen to a file, and never guesses."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from chaoslib_ext.errors import LedgerCorrupt
from chaoslib_ext.ledger import FINAL, Contents, Frame, Ledger, Target, entries, parse, pending, salvage

TARGET = Target("process", "id", "replica", "shop", "shop-b1", "00000000-1-2")


def frame(rec: str, handler: str = "process.thaw", **more: object) -> Frame:
    return Frame("lose zone b — ü", rec, handler, TARGET, {"owner": "x"}, {}, **more)  # type: ignore[arg-type]


def written(path: Path, *recs: str) -> bytes:
    ledger = Ledger(path, 0)
    for rec in recs:
        ledger.append(frame(rec))
    return path.read_bytes()


def test_a_ledger_cut_at_any_byte_reads_as_the_frames_before_the_cut(tmp_path: Path) -> None:
    data = written(tmp_path / "undo.wal", "INTENT", "APPLIED", "UNDO_TRY", "UNDONE")
    whole = parse(data, "x").frames
    for cut in range(len(data) + 1):
        contents = parse(data[:cut], "x")
        number = data[:cut].count(b"\n")
        assert contents.frames == whole[:number]
        assert contents.torn == (cut != contents.end)


def test_a_cut_at_any_byte_is_mended_by_the_next_append(tmp_path: Path) -> None:
    path = tmp_path / "undo.wal"
    data = written(path, "INTENT", "APPLIED")
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        Ledger(path, 0).append(frame("UNDONE"))
        contents = Ledger(path, 0).read()
        assert [one.seq for one in contents.frames] == list(range(1, data[:cut].count(b"\n") + 2))
        assert contents.frames[-1].rec == "UNDONE"
        assert not contents.torn


def test_a_torn_line_longer_than_the_next_frame_leaves_nothing_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "undo.wal"
    written(path, "INTENT")
    with path.open("ab") as file:
        file.write(b"0" * 5000)
    Ledger(path, 0).append(frame("APPLIED"))
    assert [one.rec for one in Ledger(path, 0).read().frames] == ["INTENT", "APPLIED"]
    assert not Ledger(path, 0).read().torn


def test_a_changed_byte_is_corruption_or_at_most_a_torn_last_line(tmp_path: Path) -> None:
    data = written(tmp_path / "undo.wal", "INTENT", "APPLIED", "UNDONE")
    whole = parse(data, "x").frames
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 0x01
        try:
            contents = parse(bytes(changed), "x")
        except LedgerCorrupt:
            continue
        assert at == len(data) - 1, f"byte {at} was changed and nobody noticed"
        assert contents == Contents(whole[:2], contents.end, True)


def test_what_is_corrupt_is_not_appended_to_and_its_sound_frames_can_be_salvaged(tmp_path: Path) -> None:
    path = tmp_path / "undo.wal"
    data = bytearray(written(path, "INTENT", "APPLIED", "UNDO_TRY"))
    data[data.index(b"\n") + 20] ^= 0x01
    path.write_bytes(data)
    with pytest.raises(LedgerCorrupt, match="frame 2 at byte"):
        Ledger(path, 0).append(frame("UNDONE"))
    assert path.read_bytes() == data
    assert [one.rec for one in salvage(path)] == ["INTENT", "UNDO_TRY"]


def test_zeros_at_the_end_are_preallocated_space(tmp_path: Path) -> None:
    path = tmp_path / "undo.wal"
    data = written(path, "INTENT")
    path.write_bytes(data + bytes(4096))
    Ledger(path, 0).append(frame("APPLIED"))
    assert [one.rec for one in Ledger(path, 0).read().frames] == ["INTENT", "APPLIED"]


def test_another_version_and_a_gap_in_the_numbers_are_corruption(tmp_path: Path) -> None:
    data = written(tmp_path / "undo.wal", "INTENT", "APPLIED")
    first, second = data.splitlines(keepends=True)
    record = json.loads(first[9:])
    text = json.dumps({**record, "v": 2}, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(LedgerCorrupt, match="has version 2, expected 1; recover with the release that wrote it"):
        parse(b"%08x %s\n" % (zlib.crc32(text), text), "x")
    with pytest.raises(LedgerCorrupt, match="frame 1 at byte 0 has number 2"):
        parse(second, "x")


def test_four_processes_append_at_once_and_the_numbers_stay_dense(tmp_path: Path) -> None:
    path = tmp_path / "undo.wal"
    code = (
        "import sys; from pathlib import Path; from chaoslib_ext.ledger import Frame, Ledger\n"
        "for n in range(25): Ledger(Path(sys.argv[1]), 0).append(Frame(sys.argv[2], 'INTENT', 'process.thaw', note='x' * 500))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), f"fault {n}"]) for n in range(4)]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    frames = Ledger(path, 0).read().frames
    assert [one.seq for one in frames] == list(range(1, 101))
    assert sorted(one.fault for one in frames) == sorted(f"fault {n}" for n in range(4) for _ in range(25))
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("recs", "is_pending", "is_settled"),
    [
        pytest.param(["INTENT"], True, False, id="killed before anybody knows"),
        pytest.param(["INTENT", "APPLIED"], True, True, id="in force"),
        pytest.param(["INTENT", "AMBIG"], True, False, id="nobody knows"),
        pytest.param(["INTENT", "REJECTED"], False, True, id="refused"),
        pytest.param(["INTENT", "APPLIED", "UNDO_TRY", "UNDONE"], False, True, id="taken back"),
        pytest.param(["INTENT", "APPLIED", "UNDO_TRY", "CONFLICT"], True, True, id="somebody else's now"),
        pytest.param(["INTENT", "APPLIED", "UNDO_TRY", "STUCK"], True, True, id="not healed in time"),
        pytest.param(["INTENT", "APPLIED", "STUCK", "ACCEPTED"], False, True, id="accepted by a person"),
        pytest.param(["INTENT", "UNDO_TRY", "UNDONE"], False, False, id="taken back before it landed, if it ever does"),
        pytest.param(["INTENT", "UNDO_TRY", "UNDONE", "APPLIED"], True, True, id="landed after it was taken back"),
        pytest.param(["INTENT", "UNDO_TRY", "APPLIED", "UNDONE"], True, True, id="landed while it was being taken back"),
        pytest.param(["INTENT", "UNDO_TRY", "APPLIED", "UNDONE", "UNDO_TRY", "UNDONE"], False, True, id="and taken back again"),
        pytest.param(["INTENT", "APPLIED", "UNDONE", "INTENT"], True, False, id="begun a second time"),
    ],
)
def test_what_an_entry_s_records_add_up_to(recs: list[str], is_pending: bool, is_settled: bool) -> None:
    (entry,) = entries([frame(rec) for rec in recs])
    assert (entry.pending, entry.settled) == (is_pending, is_settled)


def test_a_final_undo_settles_what_was_never_known_to_be_applied() -> None:
    (entry,) = entries([frame("INTENT"), frame("UNDO_TRY"), frame("UNDONE", note=FINAL)])
    assert entry.settled


def test_instant_parts_are_never_pending_and_whole_fault_frames_are_no_entries() -> None:
    frames = [frame("INTENT", "process.kill", kind="instant"), frame("APPLIED", "process.kill", kind="instant"), Frame("f", "EFFECT")]
    assert pending(frames) == []
    assert len(entries(frames)) == 1


def test_the_newest_intent_comes_first(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "undo.wal", 0)
    for uid in ("1", "2", "3"):
        ledger.append(Frame("f", "INTENT", "process.thaw", Target(uid=uid)))
    ledger.append(Frame("f", "APPLIED", "process.thaw", Target(uid="1")))
    assert [entry.target.uid for entry in pending(ledger.read().frames)] == ["3", "2", "1"]


PIECE = 16384  # in which it is read


@pytest.mark.parametrize("gap", [1, 511, PIECE, 40000, 3 * PIECE], ids=str)
def test_frames_that_stand_behind_reserved_space_are_corruption_however_far(gap: int, tmp_path: Path) -> None:
    """Their numbers would fit, and whole pieces lie between: space that is skipped as if it were the end must not bring them together."""
    first = Frame("f", "INTENT", "h", seq=1)
    lines = [replace(first, note="x" * (PIECE - len(first.line()))).line(), *(Frame("f", "INTENT", "h", seq=number).line() for number in (2, 3))]
    assert len(lines[0]) == PIECE
    path = tmp_path / "undo.wal"
    path.write_bytes(b"".join(lines) + bytes(gap))
    ledger = Ledger(path, 0)
    assert len(ledger.read().frames) == 3
    path.write_bytes(lines[0] + bytes(gap) + lines[1] + lines[2] + bytes(100_000))
    with pytest.raises(LedgerCorrupt):
        Ledger(path, 0).read()
    with pytest.raises(LedgerCorrupt):
        ledger.read(whole=True)


def test_reserved_space_of_any_length_is_the_end(tmp_path: Path) -> None:
    path = tmp_path / "undo.wal"
    written = Ledger(path, 0).append(Frame("f", "INTENT", "h", Target(uid="1")))
    line = path.read_bytes()
    for size in (0, 1, PIECE - len(line), PIECE - len(line) + 1, PIECE, 100_000):
        path.write_bytes(line + bytes(size))
        assert Ledger(path, 0).read().frames == (written,) and not Ledger(path, 0).read().torn
        assert Ledger(path, 0).append(Frame("f", "APPLIED", "h", Target(uid="1"))).seq == 2
        assert len(Ledger(path, 0).read().frames) == 2
