"""A real Prometheus on loopback that scrapes a page of ours, and a stand-in that answers wrongly. Real sockets and processes."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DEADLINE_S = 30.0  # far above what any of this takes; only a hang meets it
BINARY = shutil.which("prometheus")
WHY_SKIPPED = "no `prometheus` binary here: apt-get install -y --no-install-recommends prometheus"


def wait_for(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """The first true value of a condition, or a failed test that says what was waited for."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        threading.Event().wait(0.02)
    raise AssertionError(f"waited {deadline_s} s in vain for {what}")


class Page:
    """A page of metrics whose text a test sets; `fails` makes it answer 500."""

    def __init__(self) -> None:
        self.text, self.fails, self.asked = "", False, 0
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page.asked += 1
                body = page.text.encode()
                self.send_response(500 if page.fails else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def set(self, **counts: float) -> None:
        """`requests_total{code="200"} 5` from `c200=5`, and so on."""
        self.text = "".join(f'requests_total{{code="{name[1:]}"}} {value}\n' for name, value in counts.items())

    def end(self) -> None:
        """Stops answering."""
        self._server.shutdown()
        self._server.server_close()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


RULES = """
groups:
- name: g
  interval: 250ms
  rules:
  - {alert: ManyErrors, expr: 'sum(requests_total{code="503"}) > 100'}
  - {alert: Patient, expr: 'sum(requests_total{code="503"}) > 100', for: 1h}
"""


@contextlib.contextmanager
def prometheus(folder: Path, targets: list[int], rules: str = RULES, path: str = "/metrics", scrape: str = "250ms") -> Iterator[str]:
    """The URL of a Prometheus that scrapes these ports of loopback; it ends with the block."""
    assert BINARY is not None
    listed = ", ".join(f'"127.0.0.1:{port}"' for port in targets)
    (folder / "rules.yml").write_text(rules)
    (folder / "prom.yml").write_text(
        f"global: {{scrape_interval: {scrape}, evaluation_interval: 250ms}}\nrule_files: [rules.yml]\n"
        f"scrape_configs: [{{job_name: shop, metrics_path: '{path}', static_configs: [{{targets: [{listed}]}}]}}]\n"
    )
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = [BINARY, f"--config.file={folder}/prom.yml", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with (folder / "prometheus.err").open("wb") as errors:
        process = subprocess.Popen(argv, stdout=errors, stderr=errors, cwd=folder)
    try:
        wait_for(lambda: _ready(port) or process.poll() is not None, "Prometheus to be ready")
        assert process.poll() is None, (folder / "prometheus.err").read_text()
        yield url
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def _ready(port: int) -> bool:
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


class StandIn:
    """
    Answers like Prometheus, or as badly as a test wants: `reply` maps a path to (status, body, seconds between its bytes).

    Unlike the real thing it evaluates nothing: every query gets the same answer.
    """

    def __init__(self) -> None:
        self.reply: dict[str, tuple[int, bytes, float]] = {}
        self.short_by = 0
        self.asked: list[str] = []
        self.hold = threading.Event()
        standin = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                path = self.path.partition("?")[0]
                size = int(self.headers.get("Content-Length") or 0)
                standin.asked.append(f"{path} {self.rfile.read(size).decode()}")
                status, body, pause_s = standin.reply.get(path, (200, ok(vector()), 0.0))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) + standin.short_by))
                if status == 302:
                    self.send_header("Location", "http://elsewhere.invalid/")
                self.end_headers()
                with contextlib.suppress(OSError):
                    for at in range(0, len(body), 1 if pause_s else max(1, len(body))):
                        self.wfile.write(body[at : at + (1 if pause_s else len(body))])
                        self.wfile.flush()
                        standin.hold.wait(pause_s)
                self.close_connection = True

            do_GET = do_POST = _answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def says(self, *series: tuple[dict[str, str], str], path: str = "/api/v1/query") -> None:
        """Every query gets this vector."""
        self.reply[path] = (200, ok(vector(*series)), 0.0)

    def end(self) -> None:
        """Stops answering."""
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


def vector(*series: tuple[dict[str, str], str]) -> dict[str, Any]:
    """The data of an instant vector."""
    return {"resultType": "vector", "result": [{"metric": labels, "value": [1.0, value]} for labels, value in series]}


def ok(data: Any) -> bytes:
    """A good answer that holds this data."""
    return json.dumps({"status": "success", "data": data}).encode()
