"""An independent look every millisecond: `python one_ms_prober.py PORT FILE [MS]`, each on a connection of its own; a line is sent_ns done_ns good."""

from __future__ import annotations

import selectors
import socket
import sys
import time
from pathlib import Path

LIMIT_NS = 100_000_000  # good is an answer with 200 within so long, as for the load


def main(port: int, path: Path, every_ns: int) -> None:
    """Looks until it is killed."""
    out = path.open("w", buffering=1)
    poll, next_ns, open_ = selectors.DefaultSelector(), time.monotonic_ns(), dict[socket.socket, list[int]]()
    print("ready", flush=True)
    while True:
        now = time.monotonic_ns()
        if now >= next_ns:
            next_ns = max(next_ns + every_ns, now)
            look = socket.socket()
            look.setblocking(False)
            look.connect_ex(("127.0.0.1", port))
            open_[look] = [now, 0]
            poll.register(look, selectors.EVENT_WRITE)
        for key, _ in poll.select(max(0, (next_ns - time.monotonic_ns()) / 1e9)):
            look = key.fileobj  # type: ignore[assignment]
            good = 0
            try:
                if not open_[look][1]:
                    look.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    open_[look][1] = 1
                    poll.modify(look, selectors.EVENT_READ)
                    continue
                good = int(look.recv(200).startswith(b"HTTP/1.1 200"))
            except OSError:
                pass
            began, done = open_.pop(look)[0], time.monotonic_ns()
            out.write(f"{began} {done} {int(good and done - began <= LIMIT_NS)}\n")
            poll.unregister(look)
            look.close()
        for look in [look for look, (began, _) in open_.items() if now - began > LIMIT_NS]:
            out.write(f"{open_.pop(look)[0]} {now} 0\n")
            poll.unregister(look)
            look.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(float(sys.argv[3]) * 1e6) if len(sys.argv) > 3 else 1_000_000)
