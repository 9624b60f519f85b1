"""
A run for other tools, made from its sealed facts: a CSV time series, OpenTelemetry spans, Grafana annotations, a PDF.

Apart from drawing: nothing of a run waits for it. `export` imports what a format needs when it is asked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoslib_ext.errors import UsageError

FILES = {"csv": "timeseries.csv", "otlp": "spans.otlp.json", "grafana": "annotations.json", "pdf": "report.pdf"}
STDOUT = Path("-")


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for. `output` None is the usual name in the run directory; `token_env` names a variable of the environment."""

    format: str
    output: Path | None = None
    endpoint: str = ""
    token_env: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What was written or sent; `text` is set when it goes to standard output."""

    format: str
    written: Path | None = None
    sent: int = 0
    endpoint: str = ""
    text: str | None = None

    @property
    def told(self) -> str:
        """One line for a person."""
        return str(self.written) if self.written else f"{self.sent} sent to {self.endpoint}"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"format": self.format, "written": str(self.written) if self.written else None, "sent": self.sent, "endpoint": self.endpoint or None}


def export(run_dir: Path, wish: Wish) -> Done:
    """Writes or sends a run. Raises UsageError for what cannot be asked, NotDelivered when an endpoint does not take it."""
    if wish.endpoint and wish.output is not None:
        raise UsageError("--endpoint and -o: got both, expected one of them: it is sent, or written")
    if wish.endpoint and wish.format not in ("otlp", "grafana"):
        raise UsageError(f"--endpoint: {wish.format} is written to a file; only otlp and grafana are sent")
    if wish.format == "pdf":
        return _pdf(run_dir, wish)
    if wish.endpoint:
        return _send(run_dir, wish)
    text = _text(run_dir, wish.format)
    if wish.output == STDOUT:
        return Done(wish.format, text=text)
    return Done(wish.format, _write(run_dir, wish, text.encode()))


def _text(run_dir: Path, format_: str) -> str:
    from chaoslib_ext.report.reading import read

    facts = read(run_dir)
    if format_ == "csv":
        from chaoslib_ext.exports.seconds_csv import table

        return table(facts)
    if format_ == "otlp":
        from chaoslib_ext.exports import otlp

        return otlp.document(facts)
    from chaoslib_ext.exports import grafana

    return grafana.document(facts)


def _send(run_dir: Path, wish: Wish) -> Done:
    from chaoslib_ext.exports import grafana, otlp
    from chaoslib_ext.report.reading import read

    usual = "CHAOSX_OTLP_TOKEN" if wish.format == "otlp" else "CHAOSX_GRAFANA_TOKEN"
    token = os.environ.get(wish.token_env or usual, "")
    if wish.token_env and not token:
        raise UsageError(f"--token-env {wish.token_env}: the environment has no such variable, or it is empty; nothing was sent")
    send = otlp.send if wish.format == "otlp" else grafana.send
    sent, endpoint = send(read(run_dir), wish.endpoint, token)
    return Done(wish.format, sent=sent, endpoint=endpoint)


def _pdf(run_dir: Path, wish: Wish) -> Done:
    from chaoslib_ext import report
    from chaoslib_ext.exports.paper import printed

    if wish.output == STDOUT:
        raise UsageError("-o -: a PDF is written to a file; name one")
    return Done("pdf", _write(run_dir, wish, printed(report.render(run_dir))))


def _write(run_dir: Path, wish: Wish, data: bytes) -> Path:
    from chaoslib_ext.seal import write_whole

    path = wish.output or run_dir / FILES[wish.format]
    if path.is_dir():
        raise UsageError(f"-o {path}: got a folder, expected the name of a file in it, like {path / FILES[wish.format]}")
    write_whole(path, data)
    return path
