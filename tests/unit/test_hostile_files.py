"""No file at all makes a traceback: it is refused, or read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaoslib_ext.environment import read_environment
from chaoslib_ext.errors import InvalidFile
from chaoslib_ext.experiment import read_experiment
from chaoslib_ext.loadprofile import read_load_profile
from chaoslib_ext.slo import read_slos


def refusal(tmp_path: Path, text: str, name: str) -> str:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InvalidFile) as refused:
        read_experiment(tmp_path / name)
    return str(refused.value)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True))


HOSTILE: list[tuple[str, bytes]] = [
    ("alias bomb", BOMB.encode()),
    ("recursive alias", b"a: &a [*a]"),
    ("recursive merge", b"a: &a {<<: *a}"),
    ("unknown alias", b"a: *nobody"),
    ("deep brackets", b"[" * 100_000),
    ("deep mapping", b"{a: " * 5_000),
    ("deep indentation", b"\n".join(b" " * at + b"a:" for at in range(2_000))),
    ("deep by aliases", b"\n".join([b"a0: &a0 [x]", *[b"a%d: &a%d [*a%d]" % (at, at, at - 1) for at in range(1, 40)]])),
    ("many nodes", b"a: [" + b"1," * 20_000 + b"]"),
    ("too large", b"a: " + b"x" * 2_000_000),
    ("python object", b"a: !!python/object/apply:os.system [id]"),
    ("python name", b"title: !!python/name:os.system"),
    ("own tag", b"a: !mine 3"),
    ("bad int", b"title: !!int abc"),
    ("empty int", b"title: !!int ''"),
    ("bad bool", b"title: !!bool abc"),
    ("bad timestamp", b"title: !!timestamp abc"),
    ("impossible date", b"title: 2026-99-99"),
    ("bad binary", b"title: !!binary '\xc3\xa9'"),
    ("huge int", b"title: " + b"9" * 10_000),
    ("equals sign", b"title: ="),
    ("merge of a text", b"<<: x"),
    ("merge of nothing", b"a: {<<: [1]}"),
    ("nul", b"title: a\0b"),
    ("not utf-8", b"title: \xff\xfe"),
    ("utf-16", "title: t".encode("utf-16")),
    ("control character", b"title: \x07"),
    ("tab", b"title:\n\t- a"),
    ("null key", b"? \n: 1"),
    ("list key", b"? [a]\n: 1"),
    ("mapping key", b"{{a: 1}: 2}"),
    ("number keys", b"title: t\nmethod: []\n1: 2\n2.5: 3\ntrue: 4\n2026-01-01: 5"),
    (
        "number keys inside",
        b"title: t\nmethod: [{1: 2, null: 3, type: action, name: a, provider: {1: 2, type: http}}]\nextensions: [{1: 2, name: chaoslib_ext, version: 1}]",
    ),
    (
        "lists everywhere",
        b"t"
        b"itle: []\nmethod: {}\nsteady-state-hypothesis: []\nrollbacks: {}\nconfiguration: []\nsecrets: []\ncontrols: {}\nextensions: {}\ntags: {}\nruntime: 1",
    ),
    ("numbers everywhere", b"title: 1\nmethod: 1\nsteady-state-hypothesis: 1\nrollbacks: 1\nconfiguration: 1\nsecrets: 1\ncontrols: 1\nextensions: 1\ntags: 1"),
    (
        "wrong kinds in an activity",
        b"title: t\nmethod: [{type: [], name: {}, provider: {type: []}, pauses: 1, tolerance: 2026-01-01, controls: 3, background: [], ref: []}]",
    ),
    ("wrong kinds in a provider", b"title: t\nmethod: [{type: action, name: a, provider: {type: python, module: [], func: {}, arguments: []}}]"),
    ("wrong kinds of a process", b"title: t\nmethod: [{type: action, name: a, provider: {type: process, path: [], arguments: 1}}]"),
    (
        "odd modules",
        b"title: t\nmethod: [{type: action, name: a, provider: {type: python, module: chaoslib_ext..faults, func: f}}, {type: action, "
        b"name: b, provider: {type: python, module: chaoslib_ext, func: f}}]",
    ),
    (
        "wrong kinds in the block",
        b"title: t\nmethod: []\nextensions: [{name: chaoslib_ext, version: [], slos: {}, load: [], windows: 1, objectives: 1, "
        b"rto: 1, faults: 1, stop: 1, budget: 1, control: [], self_test: 1}]",
    ),
    (
        "wrong kinds deep in the block",
        b"title: t\nmethod: []\nextensions: [{name: chaoslib_ext, version: 1, slos: [1], objectives: [{slo: 1, window: [], "
        b"target: {}}], rto: {objective: []}, faults: {a: 1}, stop: [1]}]",
    ),
    ("odd files", b'title: t\nmethod: []\nextensions: [{name: chaoslib_ext, version: 1, slos: ["", "/", ".", "a\\0b", "/dev/zero"], load: "/dev/zero"}]'),
    (
        "odd configuration",
        b"title: t\nmethod: []\nconfiguration: {a: {type: env}, b: {type: probe}, c: {type: env, "
        b"key: []}}\nsecrets: {a: 1, b: {type: vault}, c: {d: {type: env}}}",
    ),
    ("a set and a binary", b"title: t\nmethod: [{type: action, name: !!binary aGVsbG8=, provider: {type: http, url: !!set {a}, arguments: !!omap [a: 1]}}]"),
    ("nan", b"title: .nan\nmethod: .inf\nsteady-state-hypothesis: -.inf"),
    ("only a comment", b"# nothing"),
    ("only markers", b"---\n---\n---\n"),
    ("a directive", b"%YAML 9.9\n---\ntitle: t"),
    ("surrogates", b'title: "\\ud800"\nmethod: []\n"\\udfff": 1'),
    ("colons", b": : :"),
    ("terminal codes in a key", b'title: t\nmethod: []\n"\\e[31m\\n": 1'),
    ("broken anchors", b"a: &x 1\nb: &x 2\nc: *x"),
]


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in HOSTILE])
@pytest.mark.parametrize("reader", [read_experiment, read_environment, read_load_profile, read_slos], ids=lambda reader: reader.__name__)
def test_a_hostile_file_is_refused_or_read_but_never_a_traceback(tmp_path: Path, reader: Any, data: bytes) -> None:
    for name in ("x.yaml", "x.json"):
        (tmp_path / name).write_bytes(data)
        try:
            reader(tmp_path / name)
        except InvalidFile as refused:
            assert refused.problems and str(refused).strip()
            str(refused).encode("utf-8")


JSONS = [
    b"",
    b"{",
    b"nul",
    b"NaN",
    b'{"title": Infinity}',
    b'{"a": 1, "a": 2}',
    b'{"a": "x\ny"}',
    b"[" * 100_000,
    b"9" * 10_000,
    b'{"a":' * 500 + b"1" + b"}" * 500,
    b'"\\ud800"',
    b"[1] x",
]


@pytest.mark.parametrize("data", JSONS)
def test_hostile_json_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(InvalidFile):
        read_experiment(tmp_path / "x.json")


def test_lines_are_told_for_json_too(tmp_path: Path) -> None:
    assert "x.json:3: rolbacks: unknown key" in refusal(tmp_path, '{"title": "t",\n "method": [],\n "rolbacks": []}', "x.json")
    assert "x.json:2: the key 'title' is given twice" in refusal(tmp_path, '{\n "title": "t", "method": [], "title": "t"}', "x.json")


@pytest.mark.parametrize("name", ["nothing-here.yaml", ".", "/dev/zero", "a\0b", "x" * 5000])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidFile):
        read_experiment(tmp_path / name)


scalars = st.sampled_from(["a", "1", "true", "null", "0.5", "2026-01-01", "95%", "40s", "${x}", "!!int x", "*a", "&a b", "'", "[", "{", "- ", ": "])


keys = st.sampled_from(
    ["title", "method", "type", "name", "provider", "extensions", "version", "slos", "rto", "stop", "<<", "faults", "controls", "configuration"]
)


lines = st.builds(lambda indent, key, value: f"{' ' * indent}{key}: {value}", st.integers(0, 4), keys, scalars)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.lists(lines, max_size=8).map("\n".join))
def test_any_text_is_refused_or_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fuzz.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        read_experiment(path, environ={})
    except InvalidFile:
        pass
