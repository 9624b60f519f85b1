"""Chaos Toolkit documents: what is read, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.errors import InvalidFile
from chaoslib_ext.experiment import Experiment, read_experiment

LOSE = "{type: action, name: lose zone b, provider: {type: python, module: chaoslib_ext.faults, func: lose_zone, arguments: {zone: b, duration: 40s}}}"


HTTP = "{type: probe, name: up, tolerance: 200, provider: {type: http, url: 'http://127.0.0.1/'}}"


def read(tmp_path: Path, text: str, name: str = "x.yaml", **more: Any) -> Experiment:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_experiment(tmp_path / name, **more)


def refusal(tmp_path: Path, text: str, name: str = "x.yaml", **more: Any) -> str:
    with pytest.raises(InvalidFile) as refused:
        read(tmp_path, text, name, **more)
    return str(refused.value)


def test_json_is_read_too(tmp_path: Path) -> None:
    experiment = read(tmp_path, json.dumps({"title": "t", "method": [], "steady-state-hypothesis": {"title": "h", "probes": []}}), "x.json")
    assert experiment.block is None
    assert experiment.document == {"title": "t", "method": [], "steady-state-hypothesis": {"title": "h", "probes": []}}


def test_an_undefined_variable_is_a_warning_where_a_control_may_supply_it(tmp_path: Path) -> None:
    text = "title: t\nmethod:\n- {type: action, name: a, provider: {type: http, url: 'http://${host}/'}}\n"
    assert "method[0].provider.url: ${host} is defined nowhere" in refusal(tmp_path, text)
    warning = read(tmp_path, text + "controls: [{name: c, provider: {type: python, module: chaosk8s.pod.probes}}]\n").warnings[0]
    assert "${host} is defined nowhere; a control or a vault must supply it" in warning


@pytest.mark.parametrize(
    "more",
    ["configuration: {host: x}\n", "secrets: {target: {host: x}}\n", "configuration: {host: {type: env, key: HOST_OF_IT, default: x}}\n"],
)
def test_variables_are_defined_in_configuration_and_secrets(tmp_path: Path, more: str) -> None:
    read(tmp_path, "title: t\nmethod:\n- {type: action, name: a, provider: {type: http, url: 'http://${host}/$${no}'}}\n" + more)


def test_variables_may_come_from_outside(tmp_path: Path) -> None:
    text = (
        "title: t\nmethod:\n- {type: action, name: a, provider: {type: http, "
        "url: 'http://${host}/'}}\nconfiguration: {host: {type: env, key: NOT_SET_ANYWHERE}}\n"
    )
    assert "the environment variable NOT_SET_ANYWHERE is not set" in refusal(tmp_path, text, environ={})
    read(tmp_path, text, variables={"host": "x"}, environ={})
    read(tmp_path, text, environ={"NOT_SET_ANYWHERE": "x"})


def test_a_shell_expands_its_own_environment(tmp_path: Path) -> None:
    text = "title: t\nmethod:\n- {type: action, name: a, provider: {type: process, path: echo, arguments: '${HOME} ${nothing}'}}\n"
    said = refusal(tmp_path, text, allow_code=True, environ={"HOME": "/"})
    assert "${nothing} is defined nowhere" in said
    assert "${HOME}" not in said


def test_code_of_ones_own_needs_a_flag_and_is_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_probes.py").write_text("raise SystemExit('imported')\ndef f(): ...", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = (
        "title: t\nmethod:\n- {type: probe, name: a, provider: {type: python, module: my_own_probes, "
        "func: f}}\n- {type: action, name: b, provider: {type: process, path: sh}}\n"
    )
    said = refusal(tmp_path, text)
    assert "method[0].provider.module: my_own_probes is code of your own, which is not imported unless you pass --allow-code" in said
    assert "method[1].provider.path: 'sh' is a program of your own, which is not run unless you pass --allow-code" in said
    read(tmp_path, text, allow_code=True)
    assert "my_own_probes" not in sys.modules


def test_a_known_package_is_looked_for_and_not_imported(tmp_path: Path) -> None:
    text = "title: t\nmethod:\n- {type: action, name: a, provider: {type: python, module: chaosk8s.pod.actions, func: terminate_pods}}\n"
    loaded = {name for name in sys.modules if name.startswith("chaosk8s")}
    assert read(tmp_path, text).block is None
    assert {name for name in sys.modules if name.startswith("chaosk8s")} == loaded


METHOD = "title: t\nmethod:\n- "


HYPOTHESIS = "title: t\nmethod: []\nsteady-state-hypothesis:\n  title: h\n  probes:\n  - "


BROKEN = [
    pytest.param("method: []", "title: missing", id="no title"),
    pytest.param("title: t", "`method` is missing", id="no method"),
    pytest.param("title: t\nmethod:\n", "method: got None, expected a list of activities", id="an empty method"),
    pytest.param("title: t\nmethod: []\nrolbacks: []", ":3: rolbacks: unknown key; did you mean `rollbacks`?", id="a typo at the top"),
    pytest.param("title: t\nmethod: []\nsteady-state-hypothesis: {probes: []}", "steady-state-hypothesis: `title` is missing", id="a hypothesis without title"),
    pytest.param(
        "title: t\nmethod: []\nextensions: [{name: chaoslib-ext}]",
        "did you mean `chaoslib_ext`? Chaos Toolkit would ignore this block",
        id="a typo in our name",
    ),
    pytest.param("title: t\nmethod: []\nextensions: [{name: chaoslib_ext}]", ":3: version: missing", id="no version"),
    pytest.param("title: t\nmethod: []\nextensions: [{name: chaoslib_ext, version: 2}]", "version: got 2, expected 1", id="a version to come"),
    pytest.param("title: t\nmethod: []\nextensions: [{name: chaoslib_ext, version: 1}, {name: chaoslib_ext, version: 1}]", "a second block", id="two blocks"),
    pytest.param("title: t\nmethod: []\nextensions: [3]", "extensions[0]: expected a mapping with a non-empty `name`", id="no extension"),
    pytest.param("title: t\nmethod: []\ndry: activities", "dry: `dry` is not built yet", id="a dry run"),
    pytest.param(METHOD + "3", "method[0]: got 3, expected an activity", id="no activity"),
    pytest.param(METHOD + "{type: act, name: a, provider: {type: http, url: x}}", "method[0].type: got 'act', expected probe or action", id="an unknown type"),
    pytest.param(METHOD + "{type: action, name: '', provider: {type: http, url: x}}", "expected a name that is not empty", id="an empty name"),
    pytest.param(METHOD + "{type: action, name: a}", "method[0].provider: got None", id="no provider"),
    pytest.param(METHOD + "{type: action, name: a, provider: {type: htp, url: x}}", "did you mean `http`?", id="an unknown provider"),
    pytest.param(METHOD + "{type: action, name: a, provider: {type: http}}", "provider.url: missing", id="no address"),
    pytest.param(METHOD + "{type: action, name: a, provider: {type: http, url: x, argments: {}}}", "did you mean `arguments`?", id="a typo in a provider"),
    pytest.param(
        METHOD + "{type: action, name: a, provider: {type: http, url: x, arguments: }}",
        "arguments: is empty, which Chaos Toolkit fails on",
        id="empty arguments",
    ),
    pytest.param(METHOD + "{type: action, name: a, pause: {}, provider: {type: http, url: x}}", "did you mean `pauses`?", id="a typo in an activity"),
    pytest.param(
        METHOD + "{type: action, name: a, pauses: {after: soon}, provider: {type: http, url: x}}", "pauses.after: got 'soon'", id="a pause that is no number"
    ),
    pytest.param(
        METHOD + "{type: action, name: a, dry: true, provider: {type: http, url: x}}", "Chaos Toolkit executes an activity with `dry`", id="a dry activity"
    ),
    pytest.param(METHOD + "{type: action, name: a, background: 1, provider: {type: http, url: x}}", "background: got 1", id="background is no flag"),
    pytest.param(METHOD + "{ref: nobody}", "method[0].ref: no activity is called 'nobody'", id="a dangling ref"),
    pytest.param(
        METHOD + "{type: action, name: a, provider: {type: python, module: chaoslib_ext.runner, func: f}}",
        "chaoslib_ext.runner is not a module of activities",
        id="core as activity",
    ),
    pytest.param(
        METHOD + "{type: action, name: a, provider: {type: python, module: 'os; x', func: f}}", "expected a module like chaoslib_ext.faults", id="no module"
    ),
    pytest.param(
        METHOD + "{type: action, name: a, provider: {type: python, module: chaoslib_ext.faults, func: lose_zon}}",
        "did you mean `lose_zone`?",
        id="a typo in a function",
    ),
    pytest.param(METHOD + LOSE.replace("zone: b", "zon: b"), "arguments.zon: unknown argument of lose_zone; did you mean `zone`?", id="a typo in an argument"),
    pytest.param(METHOD + LOSE.replace("zone: b, ", ""), "lose_zone needs the argument `zone`", id="an argument is missing"),
    pytest.param(METHOD + LOSE.replace("40s", "40"), 'arguments.duration: got 40, expected a duration with its unit, like "40s"', id="a bare duration"),
    pytest.param(METHOD + LOSE.replace("40s", "soon"), "got 'soon', expected a duration", id="no duration"),
    pytest.param(METHOD + LOSE + "\n- " + LOSE, "must have a name of its own", id="a fault twice"),
    pytest.param(METHOD + LOSE + "\n- {ref: lose zone b}", "must have a name of its own", id="a fault referred to"),
    pytest.param(METHOD + LOSE.replace("{type: action,", "{type: action, background: true,"), "remove `background`", id="a fault in the background"),
    pytest.param("title: t\nmethod: []\nrollbacks: [" + LOSE + "]", "a fault of chaoslib_ext in `rollbacks`", id="a fault as rollback"),
    pytest.param(
        METHOD + "{type: action, name: a, provider: {type: python, module: chaosaws.ec2.actions, func: f}}",
        "package chaostoolkit-aws is not installed; pip install 'chaoslib_ext[aws]'",
        id="a package is missing",
    ),
    pytest.param(
        "title: t\nmethod: []\ncontrols: [{name: c, provider: {type: python, module: evil}}]",
        "controls[0].provider.module: evil is code of your own",
        id="a control of ones own",
    ),
    pytest.param(
        "title: t\nmethod: []\nconfiguration: {v: {type: probe, name: p, provider: {type: process, path: sh}}}",
        "configuration.v.provider.path: 'sh' is a program",
        id="a program in configuration",
    ),
    pytest.param(
        "title: t\nmethod: []\nsecrets: {t: {s: {type: env, key: NOT_SET_ANYWHERE}}}",
        "secrets.t.s: the environment variable NOT_SET_ANYWHERE is not set",
        id="a secret is missing",
    ),
    pytest.param(HYPOTHESIS + HTTP.replace("tolerance: 200, ", ""), ":6: steady-state-hypothesis.probes[0]: `tolerance` is missing", id="no tolerance"),
    pytest.param(
        HYPOTHESIS + HTTP.replace("200", "0.5"), "got 0.5, which Chaos Toolkit refuses; write {type: range, range: [0.5, 0.5]}", id="a float as tolerance"
    ),
    pytest.param(HYPOTHESIS + HTTP.replace("200", "{type: rnge}"), "tolerance.type: got 'rnge'", id="an unknown tolerance"),
    pytest.param(HYPOTHESIS + HTTP.replace("200", "{type: range, range: ['${a}', 1]}"), "Chaos Toolkit takes no variables here", id="a variable in a range"),
    pytest.param(HYPOTHESIS + HTTP.replace("200", "{type: regex, pattern: '('}"), "which is not a regular expression", id="no regular expression"),
    pytest.param("title: t\nmethod: []\ntitle: u", ":3: title: the key is given twice (first on line 1)", id="a key twice"),
    pytest.param("title: t\nmethod: [", "not valid YAML", id="no YAML"),
    pytest.param("title: t\n---\ntitle: u", "got 2 documents, expected one", id="two documents"),
    pytest.param("- a", "expected a mapping of keys to values", id="a list as root"),
    pytest.param("", "the file is empty", id="nothing"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN)
def test_a_broken_experiment_says_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text, environ={})
