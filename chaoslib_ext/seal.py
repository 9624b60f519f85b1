"""
The seal over the facts of a run: one SHA-256 for each file, and one over those lines.

`SEALED` can be checked with `sha256sum -c`: a line per file, then `# total HASH` (the seal of the run), then
the line of `result.json`, which was judged under that seal. Files that are derived from the facts are not sealed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SEALED = "SEALED"
RESULT = "result.json"
_FILES = ("run.json", "plan.json", "events.jsonl", "undo.wal")
_FOLDERS = ("inputs", "load", "writes")
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_TOTAL = re.compile(r"# total ([0-9a-f]{64})")


def seal(folder: Path) -> str:
    """Writes `SEALED` over all facts of `folder` and returns the seal. Raises FileExistsError when it was sealed before."""
    if (folder / SEALED).exists():
        raise FileExistsError(f"{folder / SEALED}: this run is sealed already")
    lines = "".join(f"{_hash(folder / name)}  {name}\n" for name in _facts(folder))
    total = hashlib.sha256(lines.encode()).hexdigest()
    write_whole(folder / SEALED, f"{lines}# total {total}\n".encode())
    return total


def seal_of(folder: Path) -> str:
    """The seal that `SEALED` claims, or an empty string; `verify` says whether it is true."""
    try:
        match = re.search(_TOTAL.pattern + "$", (folder / SEALED).read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return ""
    return match[1] if match else ""


def verify(folder: Path) -> list[str]:
    """What is not as it was sealed, as sentences; empty when everything matches. `result.json` is checked once it is sealed."""
    lines = _read(folder)
    if isinstance(lines, str):
        return [lines]
    found, whole = _check_total(lines)
    named = _named(lines)
    if len(named) != len([line for line in lines if not _TOTAL.fullmatch(line)]):
        found.append(f"{SEALED}: has a line that is not a hash and a name, or names a file twice")
    found += [problem for name, digest in named.items() if (problem := _compare(folder, name, digest))]
    unnamed = "was added after the seal" if whole else f"has no line in {SEALED}: it was added after the seal, or its line was taken out"
    found += [f"{name}: {unnamed}" for name in sorted(set(_facts(folder)) - set(named))]
    if (folder / RESULT).exists():
        found += [] if RESULT in named else [f"{RESULT}: is not sealed"]
        found += _check_result(folder, lines)
    return found


def altered(folder: Path, names: Iterable[str]) -> list[str]:
    """The same for these files only, without reading the others: for those who look at a thousand runs and read two files of each."""
    lines = _read(folder)
    if isinstance(lines, str):
        return [lines]
    named = _named(lines)
    present = [name for name in names if name in named or (folder / name).exists()]
    told = [_compare(folder, name, named[name]) if name in named else f"{name}: has no line in {SEALED}" for name in present]
    return _check_total(lines)[0] + [problem for problem in told if problem]


def hashes(folder: Path) -> dict[str, str]:
    """File name to SHA-256, as `SEALED` claims; empty where it cannot be read."""
    lines = _read(folder)
    return {} if isinstance(lines, str) else _named(lines)


def _read(folder: Path) -> list[str] | str:
    """The lines of `SEALED`, or why there are none."""
    try:
        return (folder / SEALED).read_bytes().decode().split("\n")[:-1]  # a last line that is torn is no line
    except FileNotFoundError:
        return f"{SEALED}: missing; the run was not sealed"
    except (OSError, UnicodeDecodeError) as error:
        return f"{SEALED}: cannot be read: {error}"


def _named(lines: list[str]) -> dict[str, str]:
    """File name to hash."""
    return {match[2]: match[1] for match in map(_LINE.fullmatch, lines) if match}


def _check_total(lines: list[str]) -> tuple[list[str], bool]:
    """What is wrong with the line `# total …`, and whether the lines above it are as they were sealed."""
    at = [i for i, line in enumerate(lines) if _TOTAL.fullmatch(line)]
    if len(at) != 1:
        return [f"{SEALED}: has {len(at) or 'no'} line{'s' if at else ''} `# total …`, expected one"], False
    whole = hashlib.sha256("".join(f"{line}\n" for line in lines[: at[0]]).encode()).hexdigest() == lines[at[0]].split()[2]
    return ([], True) if whole else ([f"{SEALED}: its total does not match its lines"], False)


def _check_result(folder: Path, lines: list[str]) -> list[str]:
    """Whether the verdict was given under this seal: `result.json` names it."""
    try:
        named = json.loads((folder / RESULT).read_bytes()).get("seal")
    except (OSError, ValueError, AttributeError):
        return []  # its hash tells
    totals = [match[1] for match in map(_TOTAL.fullmatch, lines) if match]
    return [] if not totals or named is None or named in totals else [f"{RESULT}: was judged under another seal ({str(named)[:64]!r})"]


def _compare(folder: Path, name: str, expected: str) -> str | None:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        return f"{SEALED}: names {name!r}, outside of the run"
    try:
        return None if _hash(folder / path) == expected else f"{name}: does not match the seal"
    except OSError:
        return f"{name}: sealed, but missing"


def _facts(folder: Path) -> list[str]:
    """The names of all files that the seal covers, sorted."""
    names = [name for name in _FILES if (folder / name).is_file()]
    for top in _FOLDERS:
        names += [path.relative_to(folder).as_posix() for path in (folder / top).rglob("*") if path.is_file()]
    return sorted(names)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical(value: Any) -> str:
    """JSON with one spelling: sorted keys, no spaces, no NaN (raises ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, durably; makes its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)  # left by a crash, or a link that somebody put into a directory that was passed on
    with fresh.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
