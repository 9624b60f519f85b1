"""
The people of a load profile: a CSV file whose rows are given to journeys, each row to one arrival, in a seeded order.

Only names and a checksum of it are ever written to a run: a file of users is nobody's to publish.
"""

from __future__ import annotations

import csv
import hashlib
import random
import re
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from chaoslib_ext.errors import InvalidFile, Problem

MOST_BYTES = 64 * 1024 * 1024  # the load child keeps all rows in memory; chosen by feel
_COLUMN = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")


@dataclass(frozen=True, slots=True)
class People:
    """The file at `path` as it was read: its columns, how many rows, and the SHA-256 of its bytes."""

    path: str
    columns: tuple[str, ...]
    rows: int
    sha256: str


def read_people(path: Path) -> tuple[People, list[tuple[str, ...]]]:
    """
    What a file of people holds, and its rows. UTF-8, comma-separated, the first line names the columns.

    Raises InvalidFile with all problems, each with its line; FileNotFoundError when there is no such file.
    """
    data = path.read_bytes()
    if len(data) > MOST_BYTES:
        raise InvalidFile([Problem(str(path), 0, "", f"has {len(data)} bytes, expected at most {MOST_BYTES}")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidFile([Problem(str(path), data.count(b"\n", 0, error.start) + 1, "", "is not UTF-8")]) from error
    columns, rows, problems = _table(text, str(path))
    if problems:
        raise InvalidFile(problems)
    return People(str(path), columns, len(rows), hashlib.sha256(data).hexdigest()), rows


def _table(text: str, name: str) -> tuple[tuple[str, ...], list[tuple[str, ...]], list[Problem]]:
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    problems: list[Problem] = []
    try:
        for cells in reader:
            if not cells:
                continue
            if not columns:
                columns = tuple(cell.strip() for cell in cells)
                problems += [Problem(name, reader.line_num, "", complaint) for complaint in _header_complaints(columns)]
            elif len(cells) != len(columns):
                problems.append(Problem(name, reader.line_num, "", f"has {len(cells)} cells, expected {len(columns)}: {', '.join(columns)}"))
            elif not all(cell.isprintable() for cell in cells):
                problems.append(Problem(name, reader.line_num, "", "holds a line break or a control character, which no request can carry"))
            else:
                rows.append(tuple(cells))
    except csv.Error as error:
        problems.append(Problem(name, reader.line_num, "", f"is no CSV: {error}"))
    if not rows and not problems:
        problems.append(Problem(name, 0, "", "holds no row; expected a line of column names and at least one row"))
    return columns, rows, problems[:20]


def _header_complaints(columns: tuple[str, ...]) -> list[str]:
    odd = [f"names the column {column!r:.60}, expected letters, digits and _" for column in columns if not _COLUMN.fullmatch(column)]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    return odd + [f"names the column {column!r} twice; rename one" for column in twice]


def seeded_order(rows: int, seed: int) -> list[int]:
    """The order in which rows are given out: arrival k gets row `order[k % rows]`. The same for a seed on every Python."""
    draw = random.Random(f"people:{seed}").random  # random() is the one draw that Python promises never to change
    keys = [draw() for _ in range(rows)]
    return sorted(range(rows), key=keys.__getitem__)
