"""
The rig from the command line: a real three-zone Kubernetes on this machine.

    python tests/cluster/run_rig.py build [--jobs N] [--with kwok]
    python tests/cluster/run_rig.py up NAME [--shop] [--grace SECONDS]     stays until `down`
    python tests/cluster/run_rig.py list | down NAME | sweep
    python tests/cluster/run_rig.py measure [--rounds N]                   seconds and memory of fresh rigs
    python tests/cluster/run_rig.py cut NAME ZONE | restore NAME ZONE
    python tests/cluster/run_rig.py enter NAME [NODE] -- COMMAND …         runs where clients stand, or on a node
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages

from rig import build, cluster, ending, packages
from rig.measuring import measure
from rig.places import RigError, rigs
from rig.shop import open_shop
from rig.state import read_state


def say(line: str) -> None:
    """One line of progress."""
    print(line, flush=True)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="install packages and build programs, once per version")
    building.add_argument("--jobs", type=int, default=2)
    building.add_argument("--with", dest="extras", default="", help="further programs: kwok")
    starting = commands.add_parser("up")
    starting.add_argument("name")
    starting.add_argument("--shop", action="store_true", help="open a shop in namespace shop")
    starting.add_argument("--grace", type=int, default=cluster.GRACE_S, help="seconds of silence after which a node is lost")
    commands.add_parser("measure").add_argument("--rounds", type=int, default=3)
    for name in ("list", "sweep"):
        commands.add_parser(name)
    commands.add_parser("down").add_argument("name")
    for name in ("cut", "restore"):
        cable = commands.add_parser(name)
        cable.add_argument("name")
        cable.add_argument("zone")
    entering = commands.add_parser("enter")
    entering.add_argument("name")
    entering.add_argument("words", nargs=argparse.REMAINDER)
    return parser.parse_args()


def build_all(jobs: int, extras: str) -> None:
    """Packages first, then programs."""
    packages.install_packages(say)
    wanted = [name for name in extras.split(",") if name]
    if unknown := [name for name in wanted if name not in {product.name for product in build.EXTRAS}]:
        raise RigError(f"--with: unknown {', '.join(unknown)}; there are {', '.join(product.name for product in build.EXTRAS)}")
    build.build([*build.PRODUCTS, *(product for product in build.EXTRAS if product.name in wanted)], say, jobs)
    say(f"all is there: {build.programs()}")


def start(name: str, shop: bool, grace_s: int) -> None:
    """Starts a rig that stays, and says how to use it."""
    started_s = time.monotonic()
    rig = cluster.up(name, kept=True, grace_s=grace_s)
    say(f"ready after {time.monotonic() - started_s:.1f} s; export KUBECONFIG={rig.kubeconfig}")
    if shop:
        url = open_shop(rig.api, "shop")
        say(f"shop open after {time.monotonic() - started_s:.1f} s: {url} (from `run_rig.py enter {name} -- curl {url}`)")


def show() -> None:
    """One line per rig."""
    for folder in sorted(mark.parent for mark in rigs().glob("*/.rig")):
        state = read_state(folder)
        say(f"{state.name}: {'ready' if state.ready else 'not ready'}, {len(state.nodes)} nodes, {'abandoned' if state.is_abandoned() else 'kept'}, {folder}")


def enter(name: str, words: list[str]) -> None:
    """Becomes the command, in the rig."""
    cut = words.index("--") if "--" in words else 0
    node, command = words[:cut], words[cut + 1 :] if "--" in words else words
    rig = cluster.running(name)
    full = [*(rig.within(node[0]) if node else rig.outside()), *(command or ["sh"])]
    os.execvp(full[0], full)


def main() -> int:
    """Runs one command; 1 when it could not."""
    asked = parsed()
    try:
        match asked.command:
            case "build":
                build_all(asked.jobs, asked.extras)
            case "up":
                start(asked.name, asked.shop, asked.grace)
            case "measure":
                measure(asked.rounds, say)
            case "list":
                show()
            case "sweep":
                say(f"taken down: {', '.join(ending.sweep()) or 'none was abandoned'}")
            case "down":
                ending.take_down(read_state(rigs() / asked.name))
            case "cut":
                cluster.running(asked.name).cut_zone(asked.zone)
            case "restore":
                cluster.running(asked.name).restore_zone(asked.zone)
            case "enter":
                enter(asked.name, asked.words)
    except RigError as error:
        say(f"rig: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
