"""
The small disk of a node of the store, filled by one file of ours and emptied again: never a disk of the machine.

The disk is a tmpfs that only the processes of the sandbox have mounted; it is reached through the keeper's root in
/proc, and is taken for one only if all of that is so, looked at anew each time.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.process.client import alive

LARGEST = 256 << 20  # bytes; nothing larger is taken for a small disk
_CHUNK = 1 << 20
_BLOCK = 4096
_FULL_S, _CALM_S, _CALM = 5.0, 0.02, 5  # full means that nothing more fits in, five times in a row
_HEADER = 4096  # bytes of the ballast that are read again before it is removed

Disk = dict[str, Any]  # {"folder", "source", "through": {"pid", "start_ticks"}}, as the roster says it of a node


class DiskGone(Exception):
    """The keeper that had mounted the disk has ended, and the disk with it."""


@contextmanager
def opened(disk: Disk) -> Iterator[int]:
    """
    The folder where a small disk is mounted, as a descriptor to work from.

    Raises DiskGone when its keeper has ended, FaultFailed when what lies there is not a small disk of that sandbox,
    and OSError when this process may not look into the keeper's mounts.
    """
    pid, ticks = int(disk["through"]["pid"]), int(disk["through"]["start_ticks"])
    try:
        fd = os.open(f"/proc/{pid}/root{disk['folder']}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise DiskGone(f"{disk['folder']}: {error}") from error
    try:
        mounts = Path(f"/proc/{pid}/mountinfo").read_text(encoding="utf-8") if alive(pid, ticks) else ""
        if not alive(pid, ticks):  # looked at after both, so neither was another process's
            raise DiskGone(f"{disk['folder']}: its keeper has ended")
        _check(disk, fd, mounts)
        yield fd
    finally:
        os.close(fd)


def _check(disk: Disk, fd: int, mounts: str) -> None:
    device, space = os.fstat(fd).st_dev, os.fstatvfs(fd)
    size = space.f_blocks * space.f_frsize
    # columns of mountinfo: id parent major:minor root point options … - type source options
    rows = [line.split() for line in mounts.splitlines()]
    ours = [row for row in rows if row[4] == disk["folder"] and row[2] == f"{os.major(device)}:{os.minor(device)}"]
    if not any(row[row.index("-") + 1 : row.index("-") + 3] == ["tmpfs", disk["source"]] for row in ours) or not 0 < size <= LARGEST:
        raise FaultFailed(f"{disk['folder']}: this is not a small disk of its own ({size} bytes); it was left as it is")


def free(fd: int) -> int:
    """Free bytes of the disk that a descriptor lies on."""
    space = os.fstatvfs(fd)
    return space.f_bavail * space.f_frsize


def fill(disk: Disk, name: str, owner: str) -> None:
    """
    Writes the ballast `name`, which begins with its owner, until nothing more fits in, and makes sure of that.

    Raises FaultFailed when nothing was done, and OSError when the disk does not get full.
    """
    try:
        with opened(disk) as fd:
            try:
                ballast = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fd)
            except FileExistsError as error:
                raise FaultFailed(f"{disk['folder']}/{name} is there already; it was left as it is") from error
            try:
                os.write(ballast, _header(owner))
                os.fsync(ballast)
                _until_full(ballast)
                os.fsync(ballast)
            finally:
                os.close(ballast)
    except DiskGone as error:
        raise FaultFailed(str(error)) from error


def _header(owner: str) -> bytes:
    return f"ballast of {owner}\n".encode()


def _until_full(ballast: int) -> None:
    """What Postgres gives back meanwhile, as a query that was under way, is taken too."""
    deadline_s, calm = time.monotonic() + _FULL_S, 0
    while calm < _CALM:
        calm = 0 if _more(ballast) else calm + 1
        if time.monotonic() > deadline_s:
            raise OSError(errno.EAGAIN, "the disk does not stay full")
        time.sleep(_CALM_S)


def _more(ballast: int) -> int:
    """How many bytes still fitted in; in the end block by block. Never more than the largest of small disks."""
    written = 0
    for size in (_CHUNK, _BLOCK):
        zeros = bytes(size)
        try:
            while os.fstat(ballast).st_size < LARGEST:
                written += os.write(ballast, zeros)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return written


def empty(disk: Disk, name: str, owner: str) -> str:
    """
    Removes the ballast `name` if it is its owner's; what is wrong, as a sentence, or an empty text when there is room again.

    Done again, it changes nothing. Raises as `opened` does.
    """
    with opened(disk) as fd:
        try:
            ballast = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        except FileNotFoundError:
            ballast = -1
        if ballast >= 0:
            try:
                head = os.read(ballast, _HEADER)
            finally:
                os.close(ballast)
            if head and not head.startswith(_header(owner)):  # an empty one was made by us and not yet written
                return f"{disk['folder']}/{name} is not the ballast of {owner} any more"
            os.unlink(name, dir_fd=fd)
        if name in os.listdir(fd):  # noqa: PTH208 - read again, by the same descriptor
            return f"{disk['folder']}/{name} is there again"
        return "" if free(fd) >= _BLOCK else f"{disk['folder']} is still full, of what is not ours"
