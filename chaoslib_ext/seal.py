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
    try:
        text = (folder / SEALED).read_text(encoding="utf-8")
    except FileNotFoundError:
        return [f"{SEALED}: missing; the run was not sealed"]
    except (OSError, UnicodeDecodeError) as error:
        return [f"{SEALED}: cannot be read: {error}"]
    lines = text.splitlines(keepends=True)
    at = next((i for i, line in enumerate(lines) if _TOTAL.fullmatch(line.rstrip("\n"))), None)
    if at is None:
        return [f"{SEALED}: has no line `# total …`"]
    total = lines[at].split()[2]
    found = [] if hashlib.sha256("".join(lines[:at]).encode()).hexdigest() == total else [f"{SEALED}: its total does not match its lines"]
    listed = [match for match in (_LINE.fullmatch(line.rstrip("\n")) for line in lines[:at] + lines[at + 1 :]) if match]
    if len(listed) != len(lines) - 1:
        found.append(f"{SEALED}: has a line that is not a hash and a name")
    found += [problem for match in listed if (problem := _compare(folder, match[2], match[1]))]
    named = {match[2] for match in listed}
    found += [f"{name}: was added after the seal" for name in sorted(set(_facts(folder)) - named)]
    return found + ([f"{RESULT}: is not sealed"] if RESULT not in named and (folder / RESULT).exists() else [])


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
