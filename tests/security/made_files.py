"""
A seeded maker of files that people might write, break, or plant: shipped files changed at random places, and hostile ones.

Every hostile file tries to leave a file called RAN in the folder where it is read.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SHIPPED = {
    "experiment": sorted((ROOT / "experiments/sandbox").glob("*.yaml")),
    "profile": sorted((ROOT / "loadprofiles").glob("*.yaml")),
    "environment": sorted((ROOT / "environments").glob("*.yaml")),
    "slo": sorted((ROOT / "experiments/sandbox/slos").glob("*.yaml")),
}
CANARY = "from pathlib import Path\nPath('RAN').touch()\n\ndef touch(*_args, **_kwargs):\n    Path('RAN').touch()\n    return True\n"
SCALARS: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    10**30,
    1.5,
    float("nan"),
    float("inf"),
    "",
    " ",
    "\0",
    "\x1b[31m",
    "${x}",
    "${",
    "{{7*7}}",
    "${x.__class__}",
    "9" * 400,
    "95%",
    "-5%",
    "40s",
    "-1s",
    "1e9h",
    "../../etc/passwd",
    "/dev/zero",
    "a" * 3000,
    "\u202e",
    "chaoslib_ext",
    "chaoslib_ext.faults",
    "canary",
    "os",
    "builtins",
    "http://127.0.0.1:9",
    "file:///etc/passwd",
    "2026-01-01",
    "yes",
    "~",
    "GET /",
    "POST http://169.254.169.254/",
    "sandbox",
    [],
    {},
    [[]],
    {"a": {}},
    ["x"],
]
PYTHON = {"type": "python", "module": "canary", "func": "touch"}
PROCESS = {"type": "process", "path": "touch", "arguments": ["RAN"]}
HOSTILE_TEXTS = [
    "a: !!python/object/apply:os.system ['touch RAN']",
    "title: t\nmethod: !!python/object/new:subprocess.Popen [[touch, RAN]]",
    "title: !!python/name:canary.touch",
    "!!python/module:canary",
    "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]",
    "[" * 3000,
    "a: &a [*a]",
    "a: &a {<<: *a}",
    "title: t\ntitle: u\nmethod: []",
    "\x00\x01\x02",
    "%YAML 9.9\n---\na: 1",
    "{{ cycler.__init__.__globals__.os.system('touch RAN') }}",
]


def provider_places(provider: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Experiments that name the same code in every place where Chaos Toolkit would run it."""
    action = {"type": "action", "name": "x", "provider": provider}
    probe = {"type": "probe", "name": "x", "provider": provider, "tolerance": True}
    control = {"name": "x", "provider": {**provider, "type": "python", "module": provider.get("module", "canary")}}
    whole: dict[str, Any] = {"title": "t", "method": []}
    yield {**whole, "method": [action]}
    yield {**whole, "method": [{**action, "background": True}]}
    yield {**whole, "method": [{**probe, "tolerance": {"type": "probe", "name": "y", "provider": provider}}]}
    yield {**whole, "steady-state-hypothesis": {"title": "h", "probes": [probe]}}
    yield {**whole, "steady-state-hypothesis": {"title": "h", "probes": [], "controls": [control]}}
    yield {**whole, "rollbacks": [action]}
    yield {**whole, "controls": [control]}
    yield {**whole, "method": [{**action, "controls": [control]}]}
    yield {**whole, "configuration": {"v": {"type": "probe", "name": "x", "provider": provider}}}
    yield {**whole, "extensions": [{"name": "chaoslib_ext", "version": 1, "load": {"locustfile": "canary.py"}}]}


def hostile(chance: random.Random, kind: str) -> str:
    """A file that tries to run code, or to hang or burst its reader."""
    if kind == "profile" and chance.random() < 0.5:
        return yaml.safe_dump({"apiVersion": "chaosx/v1", "kind": "LoadProfile", "locustfile": chance.choice(["canary.py", "../canary.py", "/dev/stdin"])})
    if kind == "experiment" and chance.random() < 0.7:
        return yaml.safe_dump(chance.choice([*provider_places(PYTHON), *provider_places(PROCESS)]))
    return chance.choice(HOSTILE_TEXTS)


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a tree of plain data, the root left out."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def mutated(chance: random.Random, tree: Any, donor: Any) -> Any:
    """A copy with one to four places changed: removed, renamed, of another kind, doubled, or taken from another file."""
    made = copy.deepcopy(tree)
    for _ in range(chance.randint(1, 4)):
        spots = list(places(made))
        if not spots:
            return made
        *way, last = chance.choice(spots)
        holder = made
        for key in way:
            holder = holder[key]
        change = chance.randrange(6)
        if change == 0:
            del holder[last]
        elif change == 1 and isinstance(holder, dict):
            holder[chance.choice([f"{last}x", "canary", 7, None, True])] = holder.pop(last)
        elif change == 2:
            holder[last] = [holder[last], copy.deepcopy(holder[last])]
        elif change == 3:
            *there, end = chance.choice(list(places(donor)))
            found = donor
            for key in (*there, end):
                found = found[key]
            holder[last] = copy.deepcopy(found)
        else:
            holder[last] = copy.deepcopy(chance.choice(SCALARS))
    return made


def broken_text(chance: random.Random, text: str) -> str:
    """The text with a piece cut out, doubled, or with characters that are not what they were."""
    at, length = chance.randrange(len(text)), chance.randrange(1, 40)
    way = chance.randrange(4)
    if way == 0:
        return text[:at]
    if way == 1:
        return text[:at] + text[at + length :]
    if way == 2:
        return text[:at] + text[at : at + length] * 2 + text[at:]
    return text[:at] + chance.choice("\t:{}[]&*!|>'\"%@`\0\x1b\ud7ff-#?,") + text[at + 1 :]


def cases(seed: int, number: int) -> Iterator[tuple[str, str]]:
    """So many (kind, text) of files: shipped as they are, nearly so, broken, hostile."""
    chance = random.Random(seed)
    texts = {kind: [path.read_text(encoding="utf-8") for path in paths] for kind, paths in SHIPPED.items()}
    trees = {kind: [next(iter(yaml.safe_load_all(text))) for text in found] for kind, found in texts.items()}
    kinds = ["experiment"] * 4 + ["profile"] * 3 + ["environment"] * 3 + ["slo"]
    for _ in range(number):
        kind, way = chance.choice(kinds), chance.random()
        if way < 0.05:
            yield kind, chance.choice(texts[kind])
        elif way < 0.65:
            tree = mutated(chance, chance.choice(trees[kind]), chance.choice(trees[chance.choice(kinds)]))
            yield kind, yaml.safe_dump(tree, sort_keys=False, allow_unicode=chance.random() < 0.5)
        elif way < 0.85:
            yield kind, broken_text(chance, chance.choice(texts[kind]))
        else:
            yield kind, hostile(chance, kind)
