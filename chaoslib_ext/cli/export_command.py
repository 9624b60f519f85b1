"""`chaosx export`: a run for other tools: a table, traces, annotations, paper."""

from __future__ import annotations

from pathlib import Path

import click

from chaoslib_ext.cli.reading import run_directory
from chaoslib_ext.cli.words import JSON_HELP, say_json, tell

FORMATS = ("csv", "otlp", "grafana", "pdf")


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--format", "format_", type=click.Choice(FORMATS), required=True, help="What to write.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=None, help="Where to; - is standard output (not for pdf). Unless named: beside the report."
)
@click.option("--endpoint", default="", help="Sends it instead: an OTLP/HTTP address (…/v1/traces is added), or that of a Grafana.")
@click.option(
    "--token-env", default="", help="The environment variable that holds the token of the endpoint; CHAOSX_GRAFANA_TOKEN and CHAOSX_OTLP_TOKEN unless named."
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def export(directory: Path, format_: str, output: Path | None, endpoint: str, token_env: str, as_json: bool) -> int:
    """
    Writes a run directory in the format of another tool, or sends it there. It never judges.

    csv: counts and latencies of every second. otlp: the phases and faults as OpenTelemetry spans. grafana: the same as annotations. pdf: the
    report on paper, by the browser that is installed here.
    """
    from chaoslib_ext import exports

    done = exports.export(run_directory(directory), exports.Wish(format_, output, endpoint, token_env))
    if as_json:
        say_json(done.to_json())
    elif done.text is not None:
        click.echo(done.text, nl=False)
    else:
        tell(done.told)
    return 0
