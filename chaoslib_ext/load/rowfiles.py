"""The files a load child leaves behind: row segments, second summaries, and `meta.json`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from chaoslib_ext.timeline import ROWS_MAGIC, SECONDS_MAGIC, block

SEGMENT_BYTES = 8 * 1024 * 1024


class BlockFile:
    """
    An append-only file of checksummed blocks. Each block is one write; what was written survives SIGKILL.

    Nothing is synced before `close`: a sync stalls every request in flight, and a host that loses power loses the run anyway.
    """

    def __init__(self, path: Path, magic: bytes) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self.size = 0
        self._write(magic)

    def append(self, payload: bytes) -> None:
        """Adds one block. A disk that refuses it ends the process: rows are never lost in silence."""
        self._write(block(payload))

    def close(self) -> None:
        """Puts everything on disk."""
        os.fsync(self._fd)
        os.close(self._fd)

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as error:
            print(f"load child: samples cannot be written ({error}); the run has no evidence from here on", file=sys.stderr, flush=True)
            raise SystemExit(5) from error  # gevent hands it on to the main greenlet, and Locust does not swallow it
        self.size += len(data)


class RowFiles:
    """Row segments `rows-NNNN.bin`, a new one every 8 MiB."""

    def __init__(self, out_dir: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._dir, self._limit, self._number = out_dir, segment_bytes, 0
        self._file = self._next()

    def append(self, payload: bytes) -> None:
        """Adds one block of rows."""
        if self._file.size + len(payload) > self._limit:
            self._file.close()
            self._file = self._next()
        self._file.append(payload)

    def close(self) -> None:
        """Ends the last segment, on disk."""
        self._file.close()

    def _next(self) -> BlockFile:
        file = BlockFile(self._dir / f"rows-{self._number:04d}.bin", ROWS_MAGIC)
        self._number += 1
        return file


def seconds_file(out_dir: Path) -> BlockFile:
    """The file of second summaries, one block a second."""
    return BlockFile(out_dir / "seconds.bin", SECONDS_MAGIC)


def write_meta(out_dir: Path, meta: dict[str, Any], durable: bool) -> None:
    """Replaces `meta.json` in one step, so that a reader finds the old one or the new one."""
    draft = out_dir / "meta.json.new"
    with draft.open("w", encoding="utf-8") as file:
        json.dump(meta, file, indent=1)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    draft.replace(out_dir / "meta.json")
