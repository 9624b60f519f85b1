"""
YAML and JSON files as Chaos Toolkit reads them (PyYAML, YAML 1.1, safe loading), with the line of every key.

What could hang or surprise a reader is refused: a key given twice, aliases that expand without measure, files
that are too large or too deep, tags that build Python objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import InvalidFile, Problem
from chaoslib_ext.formats.quantities import shown

KeyPath = tuple[str | int, ...]

MAX_BYTES = 1 << 20
MAX_NODES = 10_000  # counted with every alias expanded
MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Document:
    """
    One document of a file: its plain data, and the line (from 1) on which each key or list item begins.

    `index` counts the documents of the file from 0.
    """

    file: str
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    index: int = 0

    def line(self, path: KeyPath) -> int:
        """The line of `path`, or of its nearest ancestor that has one; 0 when none has."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def problem(self, path: KeyPath, text: str, kind: str = "file") -> Problem:
        """What is wrong at `path`, with its line; `kind` as in `Problem`."""
        return Problem(self.file, self.line(path), show_path(path), text, kind)

    def items(self) -> list[Document]:
        """The items of a document whose root is a list, each as if it were a document of its own."""
        lines: list[dict[KeyPath, int]] = [{} for _ in self.data]
        for path, line in self.lines.items():
            if path:
                lines[int(path[0])][path[1:]] = line
        return [Document(self.file, item, lines[at], self.index) for at, item in enumerate(self.data)]

    def part(self, path: KeyPath) -> Document:
        """The document below `path`, as if it were a file of its own; lines stay those of the file."""
        data = self.data
        for key in path:
            data = data[key]
        lines = {found[len(path) :]: line for found, line in self.lines.items() if found[: len(path)] == path}
        return Document(self.file, data, lines, self.index)


def show_path(path: KeyPath) -> str:
    """`("objectives", 0, "target")` as `objectives[0].target`."""
    text = ""
    for key in path:
        name = key if isinstance(key, int) or key.isprintable() else ascii(key)  # a key may hold line feeds or terminal codes
        text += f"[{name}]" if isinstance(key, int) else f".{name}" if text else str(name)
    return text if len(text) <= 200 else text[:197] + "..."


def read_document(path: Path) -> Document:
    """The one document of a file, whose root must be a mapping. Raises InvalidFile."""
    documents = read_documents(path)
    if len(documents) != 1:
        text = "the file is empty" if not documents else f"got {len(documents)} documents, expected one; split the file at `---`"
        raise InvalidFile([Problem(str(path), 0, "", text)])
    [document] = documents
    if not isinstance(document.data, dict):
        raise InvalidFile([document.problem((), f"got {shown(document.data)}, expected a mapping of keys to values")])
    return document


def read_documents(path: Path) -> list[Document]:
    """All documents of a file that are not empty. Raises InvalidFile with every problem found."""
    text = _text(path)
    documents = _json_documents(str(path), text) if path.suffix == ".json" else _yaml_documents(str(path), text)
    return [document for document in documents if document.data is not None]


def is_file(path: Path) -> bool:
    """Is there a regular file? False also for names that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _text(path: Path) -> str:
    """The text of a regular file in UTF-8, at most MAX_BYTES long."""
    try:
        if not is_file(path):
            what = "not a regular file" if path.is_dir() or path.is_fifo() or path.is_char_device() else "no such file"
            raise InvalidFile([Problem(str(path), 0, "", f"{what}; check the path")])
        with path.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InvalidFile([Problem(str(path), 0, "", f"cannot be read: {getattr(error, 'strerror', None) or error}")]) from error
    if len(data) > MAX_BYTES:
        raise InvalidFile([Problem(str(path), 0, "", f"larger than {MAX_BYTES} bytes, the most that is read")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidFile([Problem(str(path), line, "", "not UTF-8; save the file in that encoding")]) from error


def _yaml_documents(file: str, text: str) -> list[Document]:
    """Every document of a YAML text, constructed as `yaml.safe_load` would."""
    import yaml

    try:
        _measure(file, yaml.parse(text, Loader=yaml.SafeLoader))
        loader = yaml.SafeLoader(text)
        documents: list[Document] = []
        problems: list[Problem] = []
        while loader.check_node():
            walk = _Walk(file, loader)
            node = loader.get_node()
            walk.index(node, ())
            problems += walk.problems
            if not walk.problems:
                documents.append(Document(file, loader.construct_document(node), walk.lines, len(documents)))
    except yaml.YAMLError as error:
        raise InvalidFile([_yaml_problem(file, error)]) from error
    if problems:
        raise InvalidFile(problems)
    return documents


def _yaml_problem(file: str, error: Any) -> Problem:
    """A PyYAML error as ours."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    text = getattr(error, "problem", None) or " ".join(str(error).split())
    if "determine a constructor" in text:
        text += "; only plain values are read, never objects"
    return Problem(file, mark.line + 1 if mark else 0, "", f"not valid YAML: {text[:200]}")


def _measure(file: str, events: Iterator[Any]) -> None:
    """
    Refuses what is too large or too deep, before anything is built from it.

    Works on the parser's events, so that nesting costs no recursion; an alias counts as all that it stands for.
    """
    sizes: dict[str, tuple[int, int]] = {}  # anchor → nodes, height
    open_: list[list[Any]] = []  # anchor, nodes, height
    total = 0

    def add(nodes: int, height: int, anchor: str | None, line: int) -> None:
        if anchor:
            sizes[anchor] = (nodes, height)
        if open_:
            open_[-1][1] += nodes
            open_[-1][2] = max(open_[-1][2], height + 1)
        if len(open_) + height > MAX_DEPTH:
            raise InvalidFile([Problem(file, line, "", f"nested deeper than {MAX_DEPTH} levels, the most that is read")])

    for event in events:
        kind, line = type(event).__name__, event.start_mark.line + 1
        if kind == "AliasEvent":
            if any(anchor == event.anchor for anchor, _, _ in open_):
                raise InvalidFile([Problem(file, line, "", f"the alias *{event.anchor} contains itself")])
            nodes, height = sizes.get(event.anchor, (1, 0))
            total += nodes
            add(nodes, height, None, line)
        elif kind == "ScalarEvent":
            total += 1
            add(1, 0, event.anchor, line)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            total += 1
            open_.append([event.anchor, 1, 0])
            add(0, 0, None, line)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            anchor, nodes, height = open_.pop()
            add(nodes, height, anchor, line)
        if total > MAX_NODES:
            raise InvalidFile([Problem(file, line, "", f"more than {MAX_NODES} values (aliases expanded), the most that is read")])


class _Walk:
    """One walk over a composed document: the lines of its keys, its duplicate keys, its unreadable values."""

    def __init__(self, file: str, loader: Any) -> None:
        self.file, self.loader = file, loader
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []

    def index(self, node: Any, path: KeyPath) -> None:
        """Records `node` and what is below it."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        if node.id == "mapping":
            self._mapping(node, path)
        elif node.id == "sequence":
            for at, item in enumerate(node.value):
                self.index(item, (*path, at))
        else:
            self._scalar(node, path)

    def _mapping(self, node: Any, path: KeyPath) -> None:
        seen: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            if key.id != "scalar":
                self.problems.append(self._problem(key, path, "a key is a list or a mapping; expected a text"))
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in seen:
                self.problems.append(self._problem(key, (*path, key.value), f"the key is given twice (first on line {seen[name]}); remove one"))
            seen.setdefault(name, line)
            self.lines.setdefault((*path, key.value), line)
            self.index(value, (*path, key.value))

    def _scalar(self, node: Any, path: KeyPath) -> None:
        try:
            self.loader.construct_object(node)
        except Exception as error:  # PyYAML's constructors fail with whatever their parsing happens to raise
            text = getattr(error, "problem", None) or f"{shown(node.value)} is not a {node.tag.rpartition(':')[2]}"
            self.problems.append(self._problem(node, path, f"not valid YAML: {text[:200]}"))

    def _problem(self, node: Any, path: KeyPath, text: str) -> Problem:
        return Problem(self.file, node.start_mark.line + 1, show_path(path), text)


def _json_documents(file: str, text: str) -> list[Document]:
    """The one document of a JSON text; lines come from reading it as YAML where that works."""
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in items]
        twice.extend(key for at, key in enumerate(keys) if key in keys[:at])
        return dict(items)

    def constant(name: str) -> float:
        raise ValueError(f"{name} is not JSON")

    if not text.strip():
        return []
    try:
        data = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise InvalidFile([Problem(file, error.lineno, "", f"not valid JSON: {error.msg} (column {error.colno})")]) from error
    except ValueError as error:
        raise InvalidFile([Problem(file, 0, "", f"not valid JSON: {str(error)[:120]}")]) from error
    except RecursionError as error:
        raise InvalidFile([Problem(file, 0, "", f"nested deeper than {MAX_DEPTH} levels, the most that is read")]) from error
    _measure_data(file, data)
    document = Document(file, data, _json_lines(file, text))
    if twice:
        text = "is given twice in one mapping; remove one"
        raise InvalidFile([Problem(file, _key_line(document, key), "", f"the key {shown(key)} {text}") for key in dict.fromkeys(twice)])
    return [document]


def _key_line(document: Document, key: str) -> int:
    return next((line for path, line in document.lines.items() if path and path[-1] == key), 0)


def _json_lines(file: str, text: str) -> dict[KeyPath, int]:
    """The lines of a JSON text's keys; empty where PyYAML cannot read it (tabs, odd escapes)."""
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        walk = _Walk(file, loader)
        walk.index(loader.get_single_node(), ())
        return walk.lines
    except yaml.YAMLError:
        return {}


def _measure_data(file: str, data: Any) -> None:
    """The limits of `_measure`, for data without aliases."""
    nodes, level = 0, [data]
    for _ in range(MAX_DEPTH + 1):
        nodes += len(level)
        if nodes > MAX_NODES:
            raise InvalidFile([Problem(file, 0, "", f"more than {MAX_NODES} values, the most that is read")])
        collections = [item for item in level if isinstance(item, dict | list)]
        level = [child for item in collections for child in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return
    raise InvalidFile([Problem(file, 0, "", f"nested deeper than {MAX_DEPTH} levels, the most that is read")])
