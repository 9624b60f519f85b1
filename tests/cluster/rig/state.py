"""The rig's state file: whose it is, its processes with start times, its nodes; written whole after every step."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rig.processes import Process, is_alive, start_of

_WRITING = threading.Lock()  # nodes are started side by side


@dataclass(slots=True)
class Node:
    """One node: its name, its zone, its number (which gives its addresses)."""

    name: str
    zone: str
    number: int


@dataclass(slots=True)
class State:
    """All that must be known to use a rig, or to end one whose maker is dead."""

    name: str
    folder: Path
    owner: Process
    kept: bool  # stays when its maker ends
    ready: bool = False
    port: int = 0
    nodes: list[Node] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "rig.json"

    def write(self, *started: Process) -> None:
        """Adds what was just started and writes the file whole: a kill leaves the old one or the new one."""
        with _WRITING:
            self.processes.extend(started)
            content = {**asdict(self), "folder": str(self.folder)}
            part = self.file.with_suffix(".part")
            part.write_text(json.dumps(content, indent=1))
            part.replace(self.file)

    def process(self, name: str) -> Process:
        """The newest process of that name; KeyError when there was none."""
        for process in reversed(self.processes):
            if process.name == name:
                return process
        raise KeyError(f"rig {self.name}: no process {name!r}; there are {', '.join(sorted({one.name for one in self.processes}))}")

    def is_abandoned(self) -> bool:
        """Whether nobody wants it any more: its maker is dead, and it was not to stay or never became ready."""
        return not is_alive(self.owner) and not (self.kept and self.ready)


def me() -> Process:
    """This process."""
    return Process("maker", os.getpid(), start_of(os.getpid()))


def read_state(folder: Path) -> State:
    """Reads a rig's state file; a folder without a readable one is an abandoned rig that never got further."""
    try:
        content = json.loads((folder / "rig.json").read_text())
        return State(
            **{key: content[key] for key in ("name", "kept", "ready", "port")},
            folder=folder,
            owner=Process(**content["owner"]),
            nodes=[Node(**node) for node in content["nodes"]],
            processes=[Process(**process) for process in content["processes"]],
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return State(folder.name, folder, Process("unknown", 0, 0), kept=False)
