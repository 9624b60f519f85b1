"""`chaosx trend`: recovery, data loss and availability over many runs, and what changed when."""

from __future__ import annotations

from pathlib import Path

import click

from chaoslib_ext.cli.words import JSON_HELP, say_json, tell
from chaoslib_ext.errors import UsageError


@click.command()
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), default=None, help="Also draws a page, like trend.html.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def trend(directories: tuple[Path, ...], output: Path | None, as_json: bool) -> int:
    """
    Says what RTO, RPO and availability under a fault did over many runs. It never judges.

    DIR is a run directory or a folder of them, like reports/. Only runs of the same experiment file, promises, load profile and
    environment are compared; between the others it says what changed. Runs that are not as they were sealed are left out.
    """
    from chaoslib_ext.report.many import shelf
    from chaoslib_ext.report.many.trend import to_json, trends
    from chaoslib_ext.report.many.trendwords import lines

    for path in directories:
        if not path.is_dir():
            raise UsageError(f"{path}: {'not a directory' if path.exists() else 'no such directory'}; expected run directories, or a folder of them")
    cards, foreign = shelf.parted(map(shelf.look, shelf.folders(directories)))
    foreign += [shelf.Foreign(card.folder, f"left out, not as it was sealed: {card.altered[0]}") for card in cards if card.altered]
    found = trends(card for card in cards if not card.altered)
    if output is not None:
        from chaoslib_ext.report.many.trendpage import draw
        from chaoslib_ext.seal import write_whole

        write_whole(output, draw(found, foreign, output).encode())
    if as_json:
        say_json({"trends": to_json(found), "not_shown": [{"directory": str(each.folder), "why": each.why} for each in foreign]})
        return 0
    for each in foreign:
        tell(f"{each.folder}: {each.why}", err=True)
    tell("\n".join(lines(found)) or "no judged run here")
    return 0
