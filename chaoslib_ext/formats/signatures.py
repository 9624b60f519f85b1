"""
The functions of ours that an experiment may name, and their parameters, read from the source without importing it.

A folder with `actions.py` or `probes.py` may be named; a plain module is core and may not.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
_INJECTED = ("configuration", "secrets")  # Chaos Toolkit passes these itself


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; `annotation` is its source text, empty when there is none."""

    name: str
    annotation: str
    required: bool


def activity_modules(root: Path = PACKAGE) -> list[str]:
    """Every module of ours that an experiment may name, sorted."""
    found = []
    for folder in sorted(root.iterdir()):
        parts = [part for part in ("actions", "probes") if (folder / f"{part}.py").is_file()]
        if parts:
            found += [f"chaoslib_ext.{folder.name}"] if (folder / "__init__.py").is_file() else []
            found += [f"chaoslib_ext.{folder.name}.{part}" for part in parts]
    return found


def exported(module: str, root: Path = PACKAGE) -> list[str]:
    """The names in the module's `__all__`; empty when there is none."""
    for node in _tree(module, root).body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if isinstance(value, ast.List | ast.Tuple):
                return [item.value for item in value.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return []


def parameters(module: str, func: str, root: Path = PACKAGE) -> list[Parameter] | None:
    """The parameters of a function, found through re-exports inside the package; None when it is not found."""
    for _ in range(5):  # re-exports of re-exports; deeper is a loop
        tree = _tree(module, root)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == func:
                return _parameters(node)
        source = _imported_from(tree, module, func, root)
        if source is None:
            return None
        module, func = source
    return None


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[Parameter]:
    positional = [*node.args.posonlyargs, *node.args.args]
    required = len(positional) - len(node.args.defaults)
    found = [Parameter(one.arg, _source(one.annotation), at < required) for at, one in enumerate(positional)]
    found += [Parameter(one.arg, _source(one.annotation), default is None) for one, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
    return [one for one in found if one.name not in _INJECTED]


def _source(annotation: ast.expr | None) -> str:
    return "" if annotation is None else ast.unparse(annotation)


def _imported_from(tree: ast.Module, module: str, func: str, root: Path) -> tuple[str, str] | None:
    for node in tree.body:
        for alias in node.names if isinstance(node, ast.ImportFrom) else []:
            if isinstance(node, ast.ImportFrom) and (alias.asname or alias.name) == func:
                package = module if _path(module, root).name == "__init__.py" else module.rpartition(".")[0]
                for _ in range(node.level - 1):
                    package = package.rpartition(".")[0]
                source = (f"{package}.{node.module}" if node.module else package) if node.level else str(node.module)
                return (source, alias.name) if source.startswith("chaoslib_ext.") and _path(source, root).is_file() else None
    return None


def _tree(module: str, root: Path) -> ast.Module:
    path = _path(module, root)
    return ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])


def _path(module: str, root: Path) -> Path:
    below = root.joinpath(*module.split(".")[1:])
    return below / "__init__.py" if below.is_dir() else below.with_suffix(".py")
