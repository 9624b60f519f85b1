"""
Small disks for the nodes of the store: a tmpfs for each, mounted where only the processes of this sandbox see it.

The keeper leaves the machine's mount namespace before it starts anything, so the mounts belong to its processes alone:
whatever way those end, the kernel unmounts with the last of them, and nobody else ever had anything to unmount.
A plain user, and a root without the privilege, get a user namespace around it in which they are still themselves.
`python -m chaoslib_ext.sandbox.store_disk FOLDER` tries it out and ends at once; the exit code is 0 where it works.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from chaoslib_ext.sandbox.launch import environment, module_command

DISK_MB = 64  # a node begins with 18 MB, and a thousand orders take half a MB with their log; chosen by feel
_NEWNS, _NEWUSER = 0x00020000, 0x10000000  # linux/sched.h
_BIND, _REC, _SLAVE = 4096, 16384, 1 << 19  # linux/mount.h
_DETACH = 2


def disk_folder(store: Path, name: str) -> Path:
    """Where the disk of a node is mounted; its data folder is a folder of it, mounted once more where every node has its own."""
    return store / f"disk-{name.removeprefix('store-')}"


def source(identity: str) -> str:
    """What the mounts of a sandbox carry as their device, so that nobody takes another disk for one of them."""
    return f"chaosx-{identity}"


def leave_mounts() -> None:
    """
    Gives this process a mount namespace of its own, for it and its children. It must have one thread only.

    What is unmounted outside is unmounted here too, so nothing outside is kept busy. Raises OSError where the kernel forbids it.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        _call("unshare", _NEWNS)
    except PermissionError:
        _call("unshare", _NEWNS | _NEWUSER)
        own = Path("/proc/self")
        (own / "setgroups").write_text("deny", encoding="ascii")
        (own / "uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
        (own / "gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")
    _call("mount", b"none", b"/", None, _REC | _SLAVE, None)


def mount(store: Path, names: Iterable[str], identity: str) -> None:
    """Gives each node its disk. Raises OSError where the kernel forbids it."""
    store.mkdir(mode=0o700, exist_ok=True)
    for name in names:
        disk, data = disk_folder(store, name), store / name
        for folder in (disk, data):
            folder.mkdir(mode=0o700)
        _call("mount", source(identity).encode(), os.fsencode(disk), b"tmpfs", 0, f"size={DISK_MB}m,mode=700".encode())
        (disk / "data").mkdir(mode=0o700)
        _call("mount", os.fsencode(disk / "data"), os.fsencode(data), None, _BIND, None)


def unmount(store: Path, names: Iterable[str]) -> None:
    """Takes the disks away, busy or not; what is not mounted is fine."""
    for name in names:
        for folder in (store / name, disk_folder(store, name)):
            ctypes.CDLL(None).umount2(os.fsencode(folder), _DETACH)


def refusal() -> str:
    """Why no such disk can be made on this machine, as a sentence; empty when it can."""
    trial = module_command("chaoslib_ext.sandbox.store_disk", tempfile.gettempdir())
    tried = subprocess.run(trial, capture_output=True, text=True, check=False, cwd="/", env=environment())
    if tried.returncode == 0:
        return ""
    why = tried.stderr.strip().rpartition("\n")[2] or f"exit code {tried.returncode}"
    return f"this machine cannot give the store disks of their own ({why}); leave out store_small_disk, run as root, or allow user namespaces"


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*(ctypes.c_ulong(one) if isinstance(one, int) else one for one in arguments)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def main() -> None:
    """Mounts a tmpfs over an existing folder in a namespace that ends with this process."""
    leave_mounts()
    _call("mount", b"chaosx-trial", os.fsencode(sys.argv[1]), b"tmpfs", 0, b"size=64k")


if __name__ == "__main__":
    main()
