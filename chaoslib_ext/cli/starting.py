"""The commands of the first day: init, completion."""

from __future__ import annotations

from pathlib import Path

import click

from chaoslib_ext.cli.words import JSON_HELP, say_json, tell
from chaoslib_ext.errors import UsageError

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
@click.option("--from", "template", default="sandbox", show_default=True, help="Which starter; `sandbox` is the only one.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def init(directory: Path, template: str, as_json: bool) -> int:
    """Makes a starter project in DIRECTORY (here, when left out). A file that is there already is never written over."""
    from chaoslib_ext.cli.init_command import make_project

    made = make_project(directory, template)
    if as_json:
        say_json({"directory": str(directory), "made": made.made, "kept": made.kept, "next": made.next_command})
    else:
        tell(made.text)
    return 0


@click.command()
@click.argument("shell")
def completion(shell: str) -> None:
    """
    Prints what makes SHELL (bash, zsh, fish) complete the words of chaosx.

    \b
    bash: eval "$(chaosx completion bash)"      in ~/.bashrc
    zsh:  eval "$(chaosx completion zsh)"       in ~/.zshrc
    fish: chaosx completion fish | source       in ~/.config/fish/config.fish
    """
    from click.shell_completion import ShellComplete, get_completion_class

    found = get_completion_class(shell) if shell in SHELLS else None
    if found is None:
        raise UsageError(f"completion: got {shell!r}, expected one of {', '.join(SHELLS)}")
    root = click.get_current_context().find_root().command
    click.echo(ShellComplete.source(found(root, {}, "chaosx", "_CHAOSX_COMPLETE")))  # its bash one would run bash to look at its version
