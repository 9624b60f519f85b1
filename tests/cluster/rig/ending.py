"""Ends rigs: every process by pid, every cgroup and folder; namespaces, links, rules and mounts go with the last process."""

from __future__ import annotations

import shutil
from pathlib import Path

from rig import cgroups
from rig.places import RigError, alone, rigs
from rig.processes import end, is_alive, marked
from rig.state import State, read_state


def take_down(state: State) -> None:
    """Ends a rig, whatever state it is in; harmless when nothing of it is there."""
    if state.folder.exists() and any(state.folder.iterdir()) and not (state.folder / ".rig").exists():
        raise RigError(f"{state.folder}: no .rig in it, so it is no rig's; look at it and remove it yourself")
    kubelets = [process for process in state.processes if process.name.startswith("kubelet")]
    end(kubelets)  # first, so that nothing starts the containers again
    cgroups.thaw(state.name)
    while processes := [*marked(state.name), *cgroups.members(state.name), *filter(is_alive, state.processes)]:
        end(processes)
    cgroups.remove(state.name)
    if state.folder.exists():
        _remove(state.folder)


def _remove(folder: Path) -> None:
    """Removes a rig's folder, what says that it is one last: a kill in the middle leaves what the next can remove."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".rig":
            path.unlink()
    (folder / ".rig").unlink(missing_ok=True)
    folder.rmdir()


def sweep() -> list[str]:
    """Takes down every abandoned rig and returns their names."""
    with alone(rigs()):
        found = [folder for folder in sorted(rigs().iterdir()) if (folder / ".rig").exists()]
        abandoned = [state for state in map(read_state, found) if state.is_abandoned()]
    for state in abandoned:
        take_down(state)
    return [state.name for state in abandoned]


def leftovers(name: str) -> list[str]:
    """All that is there of the rig of this name, in words; empty when nothing is."""
    left = [f"process {process.pid} {process.name}" for process in (*marked(name), *cgroups.members(name))]
    left += [f"cgroup {path}" for path in cgroups.is_left(name)]
    folder = str(rigs() / name)
    left += [f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if folder in line]
    return left + ([f"folder {folder}"] if Path(folder).exists() else [])
