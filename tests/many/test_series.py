"""The series of a page are counted once and quickly; here they are counted again, slowly and plainly."""

from __future__ import annotations

import math
import random
import struct
from array import array
from pathlib import Path

import pytest

from chaoslib_ext.report.series import Slice, slices, stretch
from chaoslib_ext.timeline import BAD, BLOCK, LATE_US, ROW, ROWS_MAGIC, UNKNOWN, Outcome, Rows, block, read_rows

TIMED = {Outcome.OK, Outcome.TIMEOUT, Outcome.UNFINISHED}


def some_rows(n: int, seed: int = 20261124) -> Rows:
    """Rows out of order, some before the run's zero, some late, of three endpoints and all outcomes."""
    chance, rows = random.Random(seed), Rows()
    for _ in range(n):
        late_us = chance.choice((0, 300, LATE_US, LATE_US + 1, 900_000))
        rows.append(chance.randrange(-2_000_000, 12_000_000), late_us, chance.randrange(0, 3_000_000), chance.randrange(3), chance.choice((0, 0, 0, *Outcome)))
    return rows


def plainly(rows: Rows, endpoints: set[int], low_us: int, high_us: int) -> dict[str, object]:
    columns = list(zip(rows.intended_us, rows.late_us, rows.latency_us, rows.endpoint, map(Outcome, rows.outcome), strict=True))
    inside = [row for row in columns if row[3] in endpoints and low_us <= row[0] < high_us]
    unknown = [row for row in inside if row[4] in UNKNOWN or row[1] > LATE_US]
    known = [row for row in inside if row not in unknown]
    timed = sorted(row[2] / 1000 for row in inside if row[4] in TIMED)
    return {
        "offered": len(inside),
        "unknown": len(unknown),
        "bad": sum(row[4] in BAD for row in known),
        "good": sum(row[4] not in BAD for row in known),
        "latency_ms": timed,
        "errors": {outcome: n for outcome in Outcome if outcome and (n := sum(row[4] is outcome for row in inside))},
        "completed": sum(
            row[3] in endpoints and low_us <= row[0] + row[2] < high_us and row[4] not in UNKNOWN and row[4] is not Outcome.UNFINISHED for row in columns
        ),
    }


def told(piece: Slice, *without: str) -> dict[str, object]:
    names = ("offered", "unknown", "bad", "good", "errors", "completed")
    found = {name: getattr(piece, name) for name in names} | {"latency_ms": sorted(piece.latency_ms)}
    return {name: value for name, value in found.items() if name not in without}


@pytest.mark.parametrize("step_s", [1, 3])
@pytest.mark.parametrize("endpoints", [{0}, {1, 2}, set()], ids=["one", "two", "none"])
def test_slices_count_what_a_plain_count_counts(endpoints: set[int], step_s: int) -> None:
    rows = some_rows(3_000)
    for start_s, end_s in ((0, 10), (-3, 14)):
        for piece in slices(rows, frozenset(endpoints), start_s, end_s, step_s):
            low_us = round(piece.start_s * 1e6)
            assert told(piece) == plainly(rows, endpoints, low_us, low_us + step_s * 1_000_000)


@pytest.mark.parametrize(("start_s", "end_s"), [(0.0, 10.0), (1.25, 7.000001), (3.3, 3.3), (-5.0, 50.0)])
def test_a_stretch_with_any_ends_counts_what_a_plain_count_counts(start_s: float, end_s: float) -> None:
    rows = some_rows(9_000)
    plain = plainly(rows, {0, 1}, round(start_s * 1e6), round(end_s * 1e6))
    plain.pop("completed")
    assert told(stretch(rows, frozenset({0, 1}), start_s, end_s), "completed") == plain


def test_percentiles_are_the_nearest_ranks_also_after_more_was_added() -> None:
    [piece] = slices(some_rows(500), frozenset({0, 1, 2}), -3, 14, 17)
    for _ in range(2):
        ordered = sorted(piece.latency_ms)
        for share in (0.5, 0.95, 0.99):
            assert piece.percentile_ms(share) == ordered[math.ceil(share * len(ordered)) - 1]
        piece.latency_ms.extend(array("d", [0.5, 9999.0]))


def test_rows_that_grew_or_other_rows_are_counted_anew() -> None:
    rows = some_rows(10)
    assert sum(piece.offered for piece in slices(rows, frozenset({0, 1, 2}), -3, 14)) == 10
    rows.append(1_000_000, 0, 5, 0, 0)
    assert sum(piece.offered for piece in slices(rows, frozenset({0, 1, 2}), -3, 14)) == 11
    assert sum(piece.offered for piece in slices(some_rows(7), frozenset({0, 1, 2}), -3, 14)) == 7


def file_of(path: Path, rows: Rows, size: int) -> Path:
    packed = [ROW.pack(*row, 0) for row in zip(rows.intended_us, rows.late_us, rows.latency_us, rows.endpoint, rows.outcome, strict=True)]
    path.write_bytes(ROWS_MAGIC + b"".join(block(b"".join(packed[at : at + size])) for at in range(0, len(packed), size)))
    return path


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows, found = some_rows(1_000), Rows()
    rows.append(-(2**40), 2**32 - 1, 2**32 - 1, 2**16 - 1, 9)
    rows.append(2**62, 0, 0, 0, 0)
    assert read_rows(file_of(tmp_path / "rows", rows, 64), found) is False
    assert found == rows


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 500, 1279, 1280, 1287])
def test_a_torn_tail_keeps_the_whole_blocks(tmp_path: Path, cut: int) -> None:
    path, found = file_of(tmp_path / "rows", some_rows(192), 64), Rows()
    path.write_bytes(path.read_bytes()[:-cut])
    assert read_rows(path, found) is True and len(found) == 128


def test_a_bad_block_in_the_middle_is_corruption(tmp_path: Path) -> None:
    path = file_of(tmp_path / "rows", some_rows(192), 64)
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="does not match its checksum"):
        read_rows(path, Rows())


def test_a_block_that_claims_more_than_the_file_holds_is_a_torn_tail_and_no_huge_buffer(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(ROWS_MAGIC + BLOCK.pack(2**32 - 1, 0) + b"x" * 40)
    assert read_rows(path, Rows()) is True


def test_a_block_of_half_a_row_is_corruption(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(ROWS_MAGIC + block(struct.pack("<30s", b"x")))
    with pytest.raises(ValueError, match="holds no whole rows"):
        read_rows(path, Rows())
