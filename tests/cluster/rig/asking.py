"""
A client of its own: asks a URL so many times a second, whatever came of the last, and notes every answer.

Run as a program inside the control namespace: `python asking.py URL PER_SECOND`. Standard library only. One JSON line per request on
standard output: when it was due (Unix seconds), status (0 when none came), latency in ms, and what the answer said. Ends when its
standard input does, so it never outlives its test.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

TIMEOUT_S = 2.0


def ask(url: str, due_s: float, lock: threading.Lock) -> None:
    """Sends one request on a connection of its own, as Services choose a pod per connection, and prints what came of it."""
    parts, started_s = urlsplit(url), time.monotonic()
    status, said = 0, ""
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        said, status = answer.read().decode(errors="replace"), answer.status
    except (OSError, http.client.HTTPException) as error:
        said = type(error).__name__
    finally:
        connection.close()
    line = json.dumps({"due_s": due_s, "status": status, "latency_ms": 1000 * (time.monotonic() - started_s), "said": said})
    with lock:
        print(line, flush=True)


def main(url: str, per_second: float) -> None:
    """Asks until standard input ends."""
    lock, told = threading.Lock(), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), told.set()), daemon=True).start()
    due_s = time.time()
    while not told.wait(max(0.0, due_s - time.time())):
        threading.Thread(target=ask, args=(url, due_s, lock)).start()
        due_s += 1 / per_second


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
