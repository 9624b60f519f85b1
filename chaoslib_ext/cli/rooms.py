"""`chaosx sandbox`: the small shop to try things on."""

from __future__ import annotations

import click

from chaoslib_ext.cli.words import JSON_HELP, Suggesting, say_json, tell


@click.group(cls=Suggesting)
def sandbox() -> None:
    """A small replicated shop behind a real Envoy, on this machine, to try things on."""


@sandbox.command("up")
@click.argument("name", default="default")
@click.option("--switch", "switches", multiple=True, help="A weakness to plant; `chaosx sandbox switches` lists them.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def up(name: str, switches: tuple[str, ...], as_json: bool) -> int:
    """Starts a sandbox that lives until `down`."""
    from chaoslib_ext import sandbox as rooms

    info = rooms.up(name, switches, owner_pid=None)
    if as_json:
        say_json(rooms.environment_json(info))
    else:
        tell(f"{info.name}: {info.url}  (chaosx run … --env sandbox@{info.name})")
    return 0


@sandbox.command("status")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def status(as_json: bool) -> int:
    """Lists the sandboxes of this user."""
    from chaoslib_ext import sandbox as rooms

    found = rooms.status()
    if as_json:
        say_json(found)
    else:
        tell("\n".join(f"{one['name']}: {one['url']}  {one['ready']} of {one['of']} ready" for one in found) or "no sandbox")
    return 0


@sandbox.command("down")
@click.argument("name", default="default")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def down(name: str, as_json: bool) -> int:
    """Ends a sandbox; nothing of it stays."""
    from chaoslib_ext import sandbox as rooms

    ended = rooms.down(name)
    if as_json:
        say_json({"name": name, "ended": ended})
    else:
        tell(f"{name}: {'ended' if ended else 'there is no such sandbox'}")
    return 0


@sandbox.command("switches")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def switches(as_json: bool) -> None:
    """Lists the weaknesses that can be planted."""
    from chaoslib_ext.sandbox import WEAKNESSES

    if as_json:
        say_json(WEAKNESSES)
        return
    for name, text in WEAKNESSES.items():
        tell(f"{name:20} {text}")
