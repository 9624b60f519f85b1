"""The cgroups a rig's containers live in: one folder of its own in every controller of version 1, or in the one tree of version 2."""

from __future__ import annotations

import time
from pathlib import Path

from rig.places import RigError
from rig.processes import Process, end, start_of

TREE = Path("/sys/fs/cgroup")


def version_two() -> bool:
    """Whether this machine has the one tree of version 2 (a hybrid counts as version 1, as it does for kubelet)."""
    return (TREE / "cgroup.controllers").exists()


def _controllers() -> list[Path]:
    """The root folder of each hierarchy, links left out."""
    if version_two():
        return [TREE]
    return [one for one in sorted(TREE.iterdir()) if one.is_dir() and not one.is_symlink() and (one / "cgroup.procs").exists()]


def own(rig: str) -> str:
    """The rig's cgroup, a path below every hierarchy's root."""
    return f"chaosx-rig-{rig}"


def make(rig: str, node: str) -> str:
    """Makes the node's cgroup everywhere, with processors and memory to use, and returns its path for kubelet's `cgroupRoot`."""
    for controller in _controllers():
        folder = controller
        for part in (own(rig), node):
            parent, folder = folder, folder / part
            if version_two():
                _pass_on(parent)
            folder.mkdir(exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems"):  # version 1 leaves them empty, and then nothing may run there
                if (folder / file).exists() and not version_two():
                    (folder / file).write_text((parent / file).read_text())
    return f"/{own(rig)}/{node}"


def _pass_on(folder: Path) -> None:
    """Lets children of a version-2 cgroup have all its controllers; one that is refused is left out, kubelet says what it misses."""
    for name in (folder / "cgroup.controllers").read_text().split():
        try:
            (folder / "cgroup.subtree_control").write_text(f"+{name}")
        except OSError:
            continue


def members(rig: str) -> list[Process]:
    """The processes in the rig's cgroups: those of its containers."""
    pids: set[int] = set()
    for controller in _controllers():
        for file in (controller / own(rig)).rglob("cgroup.procs"):
            try:
                pids.update(map(int, file.read_text().split()))
            except OSError:  # the cgroup went meanwhile, or holds threads only
                continue
    return [Process(f"container process {pid}", pid, started) for pid in sorted(pids) if (started := start_of(pid))]


def remove(rig: str, timeout_s: float = 60.0) -> None:
    """Ends what still runs in the rig's cgroups and removes them; RigError when that fails."""
    deadline_s = time.monotonic() + timeout_s
    while any((controller / own(rig)).exists() for controller in _controllers()):
        thaw(rig)
        end(members(rig))
        for controller in _controllers():
            _remove_tree(controller / own(rig))
        if time.monotonic() > deadline_s:
            raise RigError(f"{TREE}/*/{own(rig)}: still there after {timeout_s:g} s; see its cgroup.procs")
        time.sleep(0.02)


def thaw(rig: str) -> None:
    """Lets frozen containers run again: what is frozen cannot die (version 1)."""
    for file in (TREE / "freezer" / own(rig)).rglob("freezer.state"):
        try:
            file.write_text("THAWED")
        except OSError:
            continue


def _remove_tree(folder: Path) -> None:
    """Removes a cgroup and those below it, deepest first; what is busy is left for the next try."""
    for one in sorted((path for path in (*folder.rglob("*"), folder) if path.is_dir()), key=lambda path: -len(path.parts)):
        try:
            one.rmdir()
        except OSError:
            continue


def is_left(rig: str) -> list[str]:
    """The rig's cgroups that are there."""
    return [str(controller / own(rig)) for controller in _controllers() if (controller / own(rig)).exists()]
