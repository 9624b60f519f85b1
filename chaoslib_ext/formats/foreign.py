"""Python that is not ours: which package it comes from, where it lies and what it defines, all without importing it."""

from __future__ import annotations

import ast
import importlib.util
import warnings
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple

from chaoslib_ext.formats.activities_table import KNOWN_PACKAGES
from chaoslib_ext.formats.file_problems import nearest

MAX_SOURCE = 1 << 20

# top module → its distribution, for extensions of Chaos Toolkit that public experiments name; --allow-code admits them
STRANGERS: dict[str, str] = {
    "azchaosaws": "aws-az-failure-chaostoolkit",
    "chaosaddons": "chaostoolkit-addons",
    "chaosansible": "chaostoolkit-ansible",
    "chaosazure": "chaostoolkit-azure",
    "chaoscf": "chaostoolkit-cloud-foundry",
    "chaosdatadog": "chaostoolkit-datadog",
    "chaosdynatrace": "chaostoolkit-dynatrace",
    "chaosgandi": "chaostoolkit-gandi",
    "chaosgcp": "chaostoolkit-google-cloud-platform",
    "chaosgrafana": "chaostoolkit-grafana",
    "chaosgremlin": "chaostoolkit-gremlin",
    "chaoshumio": "chaostoolkit-humio",
    "chaosistio": "chaostoolkit-istio",
    "chaosk6": "chaostoolkit-k6",
    "chaoskafka": "chaostoolkit-kafka",
    "chaosprometheus": "chaostoolkit-prometheus",
    "chaosreliably": "chaostoolkit-reliably",
    "chaosservicefabric": "chaostoolkit-service-fabric",
    "chaosslack": "chaostoolkit-slack",
    "chaosspring": "chaostoolkit-spring",
    "chaosterraform": "chaostoolkit-terraform",
    "chaostoxi": "chaostoolkit-toxiproxy",
    "chaostracing": "chaostoolkit-opentracing",
    "chaoswm": "chaostoolkit-wiremock",
}


class Lacking(NamedTuple):
    """What keeps an activity's code from being there; `kind` as in `Problem`."""

    kind: str
    text: str


def lacking(module: str, func: str | None, folders: list[Path]) -> Lacking | None:
    """
    What is missing of `module` (and of `func` in it), or None. `folders` are looked in besides Python's own path.

    Only names of files and their text are looked at; what cannot be known so counts as there.
    """
    top, *parts = module.split(".")
    spec = top_spec(top, folders)
    if spec is None:
        return Lacking("package", _how_to_install(top))
    source = _source(spec, parts)
    if source is None:
        return Lacking("package", f"{_distribution(top)} is installed, but has no module {module}; check the name, or install the version that has it")
    return None if func is None else _function(source, module, func)


def top_spec(name: str, folders: list[Path]) -> importlib.machinery.ModuleSpec | None:
    """Where a top-level module would be imported from; None when nothing has it."""
    try:
        found = importlib.util.find_spec(name)
    except (ValueError, ImportError):  # __main__, and names that a broken finder chokes on
        found = None
    return found or PathFinder.find_spec(name, [str(folder) for folder in folders])


def parsed(path: Path) -> ast.Module | str:
    """The syntax tree of a Python file, or what is wrong with it."""
    try:
        data = path.read_bytes()
        if len(data) > MAX_SOURCE:
            return f"larger than {MAX_SOURCE} bytes, the most that is read"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escape sequences are their author's business
            return ast.parse(data, str(path))
    except SyntaxError as error:
        hint = "; it looks like Python 2" if "print" in str(error.msg) or "exec" in str(error.msg) else ""
        return f"line {error.lineno or 0} is not Python 3: {error.msg}{hint}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"is no Python source: {error}"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _distribution(top: str) -> str:
    return f"package {KNOWN_PACKAGES[top][0] if top in KNOWN_PACKAGES else STRANGERS.get(top, top)}"


def _how_to_install(top: str) -> str:
    if top in KNOWN_PACKAGES:
        return f"{_distribution(top)} is not installed; {KNOWN_PACKAGES[top][1]}"
    if top in STRANGERS:
        return f"{_distribution(top)} is not installed; pip install {STRANGERS[top]}"
    return f"{_distribution(top)} is not installed; install what has the module {top}, or run in the folder where it lies"


def _source(spec: importlib.machinery.ModuleSpec, parts: list[str]) -> Path | bool | None:
    """The file of a module below `spec`; True where it is there but has no source, None where there is none."""
    folders = [Path(found) for found in spec.submodule_search_locations or ()]
    here = Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for part in parts:
        found = next((place for folder in folders for place in _places(folder, part) if place.exists()), None)
        if found is None:
            return None if all(folder.is_dir() for folder in folders) else True  # inside a zip: not looked at
        folders, here = ([found], _init(found)) if found.is_dir() else ([], found)
    return here if here is not None and here.suffix == ".py" else True


def _places(folder: Path, part: str) -> list[Path]:
    return [folder / part, folder / f"{part}.py", *sorted(folder.glob(f"{part}.*.so"))] if folder.is_dir() else []


def _init(folder: Path) -> Path | None:
    return folder / "__init__.py" if (folder / "__init__.py").is_file() else None


def _function(source: Path | bool, module: str, func: str) -> Lacking | None:
    tree = parsed(source) if isinstance(source, Path) else None
    if isinstance(tree, str):
        return Lacking("file", f"{source}: {tree}")
    names = _names(tree) if tree is not None else None
    if names is None or func in names:
        return None
    near = nearest(func, names)
    return Lacking(
        "file", f"{module} has no function {func!r}" + (f"; did you mean `{near}`?" if near else "; check the name, or install the version that has it")
    )


def _names(tree: ast.Module) -> set[str] | None:
    """What a module defines at its top; None where that is only known by importing it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            return None
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return None if "__getattr__" in found else found
