"""
The method child: the only process that runs chaoslib, and so the only one that injects.

`python -m chaoslib_ext.runner.method_child STATE_RUN_DIR MODE`, where MODE is `method` (gate, then the
method), `recheck` (the hypothesis once more) or `rollback` (the file's own rollbacks). It prints `ready`, waits
for `{"op": "go"}` on standard input and prints what happens as JSON lines. What activities print goes to standard error.

Source of the traps avoided here: chaoslib 1.44 run.py and hypothesis.py (a failed gate and a failed action are no
errors to it; `dry` of an activity is ignored; its own rollbacks would race with the healer, so they are off).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

from chaoslib.configuration import load_configuration, load_dynamic_configuration
from chaoslib.experiment import run_experiment
from chaoslib.hypothesis import run_steady_state_hypothesis
from chaoslib.rollback import run_rollbacks
from chaoslib.run import EventHandlerRegistry, RunEventHandler
from chaoslib.secret import load_secrets
from chaoslib.types import Strategy

from chaoslib_ext.children import die_with_parent
from chaoslib_ext.faults import injection
from chaoslib_ext.faults.recording import trouble
from chaoslib_ext.runner.fence import keep_http_inside
from chaoslib_ext.runner.hush import forms, hushed, values_in

TEXT_LIMIT = 2000
READING_PERIOD_S = 1.0  # chosen by feel: often enough for a chart, rare enough to cost nothing


class Wire:
    """Standard output as it was at the start, for JSON lines only; everything else printed goes to standard error."""

    def __init__(self) -> None:
        self._fd = os.dup(1)
        self.words: tuple[str, ...] = ()  # what is never said: the experiment's secrets
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def say(self, message: dict[str, Any]) -> None:
        """Writes one line; the supervisor's end of the pipe may be gone, which is its business."""
        line = hushed(json.dumps(message, default=str, separators=(",", ":")), self.words) + "\n"
        with self._lock:
            try:
                os.write(self._fd, line.encode())
            except BrokenPipeError:
                pass


def _plain(value: Any) -> Any:
    """An output as JSON, or its text, capped."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
        value = text
    return value if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"


class Teller(RunEventHandler):  # type: ignore[misc]  # chaoslib ships no types
    """Tells the supervisor of each activity, and the faults the name of the activity that runs them."""

    def __init__(self, wire: Wire, where: str) -> None:
        self.wire, self.where = wire, where

    def start_method(self, experiment: Any) -> None:  # noqa: ARG002  # chaoslib passes by name
        self.where = "method"
        self.wire.say({"kind": "method", "state": "start"})

    def method_completed(self, experiment: Any, state: Any = None) -> None:  # noqa: ARG002
        self.wire.say({"kind": "method", "state": "end"})

    def start_activity(self, activity: dict[str, Any]) -> None:
        injection.name_activity(str(activity.get("name")))
        self._say(activity, {"state": "started"})

    def activity_completed(self, activity: dict[str, Any], run: dict[str, Any]) -> None:
        error = "".join(run.get("exception", [])[-1:]).strip()
        self._say(activity, {"state": "ended", "status": run.get("status"), "output": _plain(run.get("output")), "error": error[:TEXT_LIMIT] or None})
        if trouble():
            self.wire.say({"op": "unwritable", "detail": trouble()[:TEXT_LIMIT]})

    def _say(self, activity: dict[str, Any], more: dict[str, Any]) -> None:
        provider = activity.get("provider", {})
        told = {"kind": "activity", "name": activity.get("name"), "type": activity.get("type"), "where": self.where}
        self.wire.say({**told, "module": provider.get("module"), "func": provider.get("func"), **more})


def _tell_hypothesis(wire: Wire, where: str, state: dict[str, Any] | None) -> bool:
    """Says how each probe of the hypothesis stood; True when all were within tolerance (or there is none)."""
    if state is None:
        return True
    for run in state["probes"]:
        told = {"name": run["activity"].get("name"), "where": where, "value": _plain(run.get("output"))}
        error = "".join(run.get("exception", [])[-1:]).strip()[:TEXT_LIMIT] or None
        wire.say({"kind": "reading", **told, "ok": bool(run.get("tolerance_met")), "error": error})
    met = bool(state["steady_state_met"])
    errored = any(run.get("status") == "failed" for run in state["probes"])
    wire.say({"kind": "hypothesis", "where": where, "met": met, "errored": errored})
    return met


class Session:
    """One experiment with its configuration and secrets loaded, ready to be run in parts."""

    def __init__(self, document: dict[str, Any], wire: Wire) -> None:
        self.document, self.wire = document, wire
        self.configuration = load_configuration(document.get("configuration", {}))
        self.secrets = load_secrets(document.get("secrets", {}), self.configuration)
        wire.words = forms(values_in(self.secrets))
        self.configuration = load_dynamic_configuration(self.configuration, self.secrets)

    def hypothesis(self, registry: EventHandlerRegistry) -> dict[str, Any] | None:
        """One evaluation of the steady-state hypothesis; None when the file has none."""
        found = run_steady_state_hypothesis(self.document, self.configuration, self.secrets, dry=None, event_registry=registry)
        return found if found is None else dict(found)


def _registry(teller: Teller) -> EventHandlerRegistry:
    registry = EventHandlerRegistry()
    registry.register(teller)
    return registry


def _read_on(session: Session, wire: Wire, over: threading.Event) -> None:
    """Readings of the hypothesis while the method runs: facts for the timeline, judged by nobody."""
    while not over.wait(READING_PERIOD_S):
        state = session.hypothesis(EventHandlerRegistry())
        for run in (state or {}).get("probes", []):
            wire.say(
                {
                    "kind": "reading",
                    "name": run["activity"].get("name"),
                    "where": "during",
                    "value": _plain(run.get("output")),
                    "ok": bool(run.get("tolerance_met")),
                }
            )


def run_method(session: Session, wire: Wire) -> None:
    """The gate; and where it holds, the method with all its controls, pauses and background activities."""
    gate = Teller(wire, "gate")
    if session.document.get("steady-state-hypothesis") and not _tell_hypothesis(wire, "gate", session.hypothesis(_registry(gate))):
        wire.say({"kind": "method", "state": "skipped"})
        return
    over = threading.Event()
    if session.document.get("steady-state-hypothesis"):
        threading.Thread(target=_read_on, args=(session, wire, over), daemon=True).start()
    method_only = {key: value for key, value in session.document.items() if key not in ("steady-state-hypothesis", "rollbacks")}
    settings = {"runtime": {"rollbacks": {"strategy": "never"}}}
    journal = run_experiment(method_only, settings=settings, strategy=Strategy.SKIP, event_handlers=[Teller(wire, "method")])
    over.set()
    wire.say({"kind": "journal", "status": journal.get("status"), "journal": json.loads(json.dumps(journal, default=str))})


def run_recheck(session: Session, wire: Wire) -> None:
    """The hypothesis once more, after recovery."""
    _tell_hypothesis(wire, "recheck", session.hypothesis(_registry(Teller(wire, "recheck"))))


def run_file_rollbacks(session: Session, wire: Wire) -> None:
    """The file's own rollbacks, all of them, whatever the others do."""
    registry = _registry(Teller(wire, "rollback"))
    foreground = {**session.document, "rollbacks": [{**activity, "background": False} for activity in session.document.get("rollbacks", [])]}
    for _ in run_rollbacks(foreground, session.configuration, session.secrets, None, None, registry):
        pass


MODES = {"method": run_method, "recheck": run_recheck, "rollback": run_file_rollbacks}


def _hush(record: logging.LogRecord, words: tuple[str, ...]) -> bool:
    """Takes secrets out of a line of the log, and of the traceback that would follow it."""
    record.msg, record.args = hushed(record.getMessage(), words), ()
    if record.exc_info:
        record.exc_text = hushed(logging.Formatter().formatException(record.exc_info), words)  # what a handler prints, once it is there
    return True


def main(argv: list[str]) -> int:
    """The process: ready, go, done."""
    state_dir, mode = Path(argv[1]), argv[2]
    spec = json.loads((state_dir / "spec.json").read_text(encoding="utf-8"))
    die_with_parent(int(spec["supervisor_pid"]))
    if spec.get("allow_code"):
        sys.path.append(str(Path.cwd()))  # the file's own modules lie where it is run from; behind every installed one
    keep_http_inside((spec.get("environment") or {}).get("hosts") or [])
    wire = Wire()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    lock = os.open(state_dir / "heal.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if mode == "method":
        fcntl.flock(lock, fcntl.LOCK_SH)  # held for life: the healer's last heal waits until nobody can inject
    logging.getLogger().handlers[0].addFilter(lambda record: _hush(record, wire.words))
    session = Session(json.loads((state_dir / "document.json").read_text(encoding="utf-8")), wire)
    wire.say({"op": "ready"})
    if json.loads(sys.stdin.readline() or "{}").get("op") != "go":
        return 0
    MODES[mode](session, wire)
    wire.say({"op": "done"})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
