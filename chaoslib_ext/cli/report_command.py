"""`chaosx report`: one run's page again, a roll-up, an index, or whether the evidence is as it was sealed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from chaoslib_ext.cli.reading import run_directory
from chaoslib_ext.cli.words import JSON_HELP, say_json, tell
from chaoslib_ext.errors import UsageError

REPORTS = Path("reports")


@click.command()
@click.argument("directories", metavar="DIR...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--rollup", is_flag=True, help="One page over all these runs: totals, services and faults, each run's verdict.")
@click.option("--index", is_flag=True, help="A page that lists a folder of runs (reports/ unless named), newest first, to filter.")
@click.option("--verify", is_flag=True, help="Only say whether the evidence is unaltered; exit code 1 when it is not.")
@click.option("--seal", default="", help="With --verify: the seal that the run printed, or that its junit.xml of the pipeline names.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=None, help="Where a roll-up or an index goes.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def report(directories: tuple[Path, ...], rollup: bool, index: bool, verify: bool, seal: str, output: Path | None, as_json: bool) -> int:
    """
    Draws the report of a run directory again, or a page over many. It never judges.

    DIR is a run directory; for --rollup and --index also a folder of them. Links in a page are relative: publish the folder whole.
    """
    if rollup + index + verify > 1:
        raise UsageError("--rollup, --index, --verify: got more than one, expected at most one of them")
    if output is not None and not (rollup or index):
        raise UsageError("-o: is for --rollup and --index; a run's own page is always DIR/report.html")
    if seal and (not verify or len(directories) != 1):
        raise UsageError("--seal: is for --verify of one run directory")
    if not directories and not index:
        raise UsageError("got no directory, expected a run directory, like reports/<run>; or --index for all of reports/")
    if verify:
        return _verify(directories, seal, as_json)
    written = [_rollup(directories, output)] if rollup else [_index(directories, output)] if index else _draw(directories)
    if as_json:
        say_json({"written": [str(path) for path in written]})
    else:
        tell("\n".join(map(str, written)))
    return 0


def _draw(directories: Sequence[Path]) -> list[Path]:
    from chaoslib_ext.gate.outputs import write_all

    for directory in directories:
        run_directory(directory)
    return [path for directory in directories for path in write_all(directory)]


def _verify(directories: Sequence[Path], seal: str, as_json: bool) -> int:
    """What was altered, missing or added, by run; the exit code."""
    from chaoslib_ext import rundir

    for directory in directories:
        run_directory(directory)
    found = {str(directory): rundir.verify(directory) for directory in directories}
    if seal and (claimed := rundir.seal_of(directories[0])) != seal.strip().lower():
        found[str(directories[0])].insert(0, f"SEALED: its seal is {claimed or 'missing'}, expected {seal.strip().lower()[:64]}")
    altered = [line for lines in found.values() for line in lines]
    if as_json:
        say_json({"altered": altered} if len(found) == 1 else {"altered": {name: lines for name, lines in found.items() if lines}})
        return 1 if altered else 0
    for name, lines in found.items():
        for line in lines:
            tell(line if len(found) == 1 else f"{name}: {line}")
    tell("unaltered" if not altered else f"{len(altered)} altered", err=True)
    return 1 if altered else 0


def _rollup(directories: Sequence[Path], output: Path | None) -> Path:
    from chaoslib_ext.report.many import rollup, shelf

    page = _page(output, Path(rollup.FILE))
    return _write(page, rollup.draw(rollup.collect(_folders(directories, shelf.folders(directories)), page)))


def _index(directories: Sequence[Path], output: Path | None) -> Path:
    from chaoslib_ext.report.many import index, shelf

    tops = directories or (REPORTS,)
    page = _page(output, (tops[0] if len(tops) == 1 else Path()) / index.FILE)
    return _write(page, index.render(_folders(tops, (path for top in tops for path in shelf.below(top))), page))


def _folders(named: Sequence[Path], found: Iterable[Path]) -> list[Path]:
    """The folders found. Raises UsageError for a name that is no folder: a page without a run that was asked for would look complete."""
    for path in named:
        if not path.is_dir():
            raise UsageError(f"{path}: {'not a directory' if path.exists() else 'no such directory'}; expected run directories, or a folder of them")
    return list(found)


def _page(output: Path | None, usual: Path) -> Path:
    page = output or usual
    if page.is_dir():
        raise UsageError(f"-o {page}: got a folder, expected the name of a page in it, like {page / usual.name}")
    return page


def _write(page: Path, html: str) -> Path:
    from chaoslib_ext.seal import write_whole

    write_whole(page, html.encode())
    return page
