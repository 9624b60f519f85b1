"""
A page on paper: the browser that is installed here prints it, without a screen and without any network (the page's own policy allows no foreign script).

Only a page that was just drawn is printed, never a file of the run directory that somebody may have put there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from chaoslib_ext.errors import NotDelivered, UsageError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
TIMEOUT_S = 180.0
_SWITCHES = (
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-sync",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",  # a container's /dev/shm is too small
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--no-pdf-header-footer",
)


def installed() -> str | None:
    """The path of the browser: `CHAOSX_BROWSER`, or the first of `PROGRAMS`; None when there is none."""
    named = os.environ.get("CHAOSX_BROWSER", "")
    return shutil.which(named) if named else next((path for name in PROGRAMS if (path := shutil.which(name))), None)


def browser() -> str:
    """The same. Raises UsageError with what was looked for when there is none."""
    found = installed()
    if found is None:
        looked = os.environ.get("CHAOSX_BROWSER", "") or ", ".join(PROGRAMS)
        raise UsageError(f"--format pdf: no browser is installed here (looked for {looked}); install one, or name it in CHAOSX_BROWSER")
    return found


def printed(html: str) -> bytes:
    """The PDF of a page. Raises UsageError without a browser, NotDelivered when it does not print."""
    program = browser()
    with tempfile.TemporaryDirectory(prefix="chaosx-pdf-", ignore_cleanup_errors=True) as folder:
        page, paper = Path(folder) / "report.html", Path(folder) / "report.pdf"
        page.write_text(html, encoding="utf-8")
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()  # root cannot have one; the page is ours and runs nothing
        argv = [program, *_SWITCHES, *sandbox, f"--user-data-dir={folder}/profile", f"--print-to-pdf={paper}", page.as_uri()]
        told = _run(argv, folder)
        data = paper.read_bytes() if paper.is_file() else b""
    if not data.startswith(b"%PDF"):
        raise NotDelivered(f"{program}: printed nothing: {told[-300:] or 'and said nothing'}")
    return data


def _run(argv: list[str], folder: str) -> str:
    """Runs the browser in a session of its own, so that all its processes end with it; what it said on standard error."""
    quiet = {**os.environ, "HOME": folder}
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=quiet, start_new_session=True) as running:
        try:
            told = running.communicate(timeout=TIMEOUT_S)[1]
        except subprocess.TimeoutExpired:
            told = f"no end after {TIMEOUT_S:g} s".encode()
        finally:
            try:
                os.killpg(running.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    return told.decode(errors="replace").strip()
