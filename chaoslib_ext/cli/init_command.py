"""`chaosx init`: a starter project from the files that come with the package. Nothing is ever written over."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from chaoslib_ext.errors import UsageError

EXPERIMENT = "experiments/sandbox/zone-lost-silently.yaml"
KNOWN_BAD = "experiments/sandbox/zone-lost-with-all-replicas.yaml"
# starter → the shipped files it copies, and where to
STARTERS: dict[str, dict[str, str]] = {
    "sandbox": {
        EXPERIMENT: EXPERIMENT,
        KNOWN_BAD: KNOWN_BAD,
        "experiments/sandbox/slos/shop.yaml": "experiments/sandbox/slos/shop.yaml",
        "loadprofiles/shop.yaml": "loadprofiles/shop.yaml",
        "environments/local-processes.yaml": "environments/local-processes.yaml",
    }
}
GITIGNORE = "# run directories: evidence, kept where your reports are kept\nreports/\n__pycache__/\n.venv/\n"
README = """# Resilience tests

Loses a zone of a small shop under traffic, measures whether and how fast it recovers, and takes the loss back.

    chaosx doctor                                      # is everything there?
    chaosx plan {experiment}      # what would it hit, cost, take and decide?
    chaosx run {experiment}       # the exit code is the verdict
    chaosx explain reports/<run>                       # why: down to the single request

The same shop with all replicas in one zone, which must FAIL:

    chaosx run {known_bad} --env sandbox:one_zone

| here | is |
|---|---|
| `{experiment}` | what is done, and what is promised meanwhile |
| `experiments/sandbox/slos/shop.yaml` | the promises (OpenSLO v1) |
| `loadprofiles/shop.yaml` | the traffic |
| `environments/local-processes.yaml` | an environment of your own, to be filled in: `--env local-processes` |
"""


@dataclass(slots=True)
class Made:
    """What a starter project consists of: files made now, and files that were there and were left as they are."""

    directory: Path
    made: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    @property
    def next_command(self) -> str:
        """What to type next."""
        move = "" if self.directory == Path() else f"cd {shlex.quote(str(self.directory))} && "
        return f"{move}chaosx run {EXPERIMENT}"

    @property
    def text(self) -> str:
        """The project for a person."""
        lines = [f"made  {self.directory / name}" for name in self.made]
        lines += [f"kept  {self.directory / name}  (was there already)" for name in self.kept]
        return "\n".join([*lines, "", f"next: {self.next_command}", "      (about a minute; it starts a private sandbox and leaves a report)"])


def make_project(directory: Path, template: str) -> Made:
    """Writes the starter into `directory`. Raises UsageError for an unknown starter or a place that cannot be written."""
    if template not in STARTERS:
        raise UsageError(f"init: got --from {template!r}, expected one of {', '.join(STARTERS)}")
    shipped = files("chaoslib_ext.shipped")
    contents = {target: shipped.joinpath(*source.split("/")).read_bytes() for source, target in STARTERS[template].items()}
    contents |= {".gitignore": GITIGNORE.encode(), "README.md": README.format(experiment=EXPERIMENT, known_bad=KNOWN_BAD).encode()}
    made = Made(directory)
    for name, content in contents.items():
        (made.made if _write_new(directory / name, content) else made.kept).append(name)
    return made


def _write_new(path: Path, content: bytes) -> bool:
    """Writes a file that is not there yet; False when something of that name is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError as error:
        if not path.parent.is_dir():
            raise UsageError(f"init: {path.parent}: is a file, expected a folder; name another directory") from error
        return False
    except OSError as error:
        raise UsageError(f"init: {error.filename or path}: {error.strerror}; name a directory that you may write to") from error
    return True
