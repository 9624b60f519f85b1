"""
A locustfile as it is written, without importing it: which packages it needs, and which Locust it was written for.

Only what it imports unconditionally at its top counts; what a `try` guards is its author's care.
"""

from __future__ import annotations

import ast
from pathlib import Path

from chaoslib_ext.errors import Problem
from chaoslib_ext.formats.foreign import parsed, top_spec

_BEFORE_1_0 = {
    "HttpLocust": "HttpUser",
    "FastHttpLocust": "FastHttpUser",
    "Locust": "User",
    "TaskSequence": "SequentialTaskSet",
    "seq_task": "SequentialTaskSet",
}


def locustfile_problems(path: Path) -> list[Problem]:
    """What keeps a locustfile from running here: its syntax, missing packages, a Locust of long ago."""
    tree = parsed(path)
    if isinstance(tree, str):
        return [Problem(str(path), 0, "", tree)]
    found: list[Problem] = []
    folders = [path.absolute().parent, path.absolute().parent.parent, Path.cwd()]
    for node in tree.body:
        for name in _modules(node):
            if top_spec(name, folders) is None:
                text = f"needs the module {name}, which is not there; install its package beside chaosx, or put it beside the file"
                found.append(Problem(str(path), node.lineno, "", text, "package"))
        found += [Problem(str(path), node.lineno, "", _old(name), "version") for name in _old_names(node)]
    return list(dict.fromkeys(found))


def locustfile_warnings(path: Path) -> list[str]:
    """What a reader should know of a locustfile that can be parsed."""
    tree = parsed(path)
    if isinstance(tree, str):
        return []
    users = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and any("User" in ast.unparse(base) for base in node.bases)]
    found = [] if users else [f"{path}: no class derived from User is seen in it; if it makes none when imported, nothing can be sent"]
    return [*found, f"{path}: CLOSED_MODEL: a locustfile's figures hide outages; they can fail an objective and never pass one"]


def _modules(node: ast.stmt) -> list[str]:
    """The top names of what a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    return [node.module.partition(".")[0]] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


def _old_names(node: ast.stmt) -> list[str]:
    """Names of Locust before 1.0 that a statement imports from it."""
    if not isinstance(node, ast.ImportFrom) or (node.module or "").partition(".")[0] != "locust":
        return []
    return [alias.name for alias in node.names if alias.name in _BEFORE_1_0]


def _old(name: str) -> str:
    return (
        f"{name} is of Locust before 1.0, which does not run on this Python; it is called {_BEFORE_1_0[name]} now (with wait_time as a function): port the file"
    )
