"""Environments and the `--env` argument."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoslib_ext.environment import EnvChoice, Environment, Retry, Service, parse_caps, parse_env_argument, read_environment
from chaoslib_ext.errors import InvalidFile, UsageError

HEAD = "apiVersion: chaosx/v1\nkind: Environment\nname: shop\n"
GOOD = """\
class: local
identity: {sandbox: s-1}
services: {shop: {processes: {roster: run/roster.json}, url: "http://127.0.0.1:8080"}}
zones: {a: a, b: b}
hosts: ["127.0.0.1:8080"]
allow: {services: [shop], zones: [a, b], hosts: [127.0.0.1]}
never: {names: [shop-b-1], labels: [tier=gold]}
caps: {per_zone: 50%, per_owner: 34%, zones: 1, writes: 50000}
lock: {file: shop.lock}
fuse: required
load: {where: local}
retry: {base: 100ms, deadline: 60s}
values: {region: b, replicas: 3}
"""


def read(tmp_path: Path, text: str) -> Environment:
    path = tmp_path / "shop.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return read_environment(path)


def test_an_environment_is_read_whole(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == Environment(
        name="shop",
        class_="local",
        identity={"sandbox": "s-1"},
        services={"shop": Service("shop", {"roster": str(tmp_path / "run/roster.json")}, None, "http://127.0.0.1:8080")},
        zones={"a": "a", "b": "b"},
        hosts=["127.0.0.1:8080"],
        allow={"services": ["shop"], "zones": ["a", "b"], "hosts": ["127.0.0.1"]},
        never={"names": ["shop-b-1"], "labels": ["tier=gold"]},
        caps={"per_zone": 0.5, "per_owner": 0.34, "zones": 1, "writes": 50000},
        lock={"file": str(tmp_path / "shop.lock")},
        fuse="required",
        retry=Retry(0.1, 60.0),
        values={"region": "b", "replicas": 3},
        source=str(tmp_path / "shop.yaml"),
    )


def test_little_is_enough(tmp_path: Path) -> None:
    environment = read(tmp_path, "class: local\n")
    assert (environment.retry, environment.load_where, environment.caps, environment.lock) == (Retry(0.2, 120.0), "local", {}, None)


words = st.text("abc", min_size=1, max_size=4)
services = st.dictionaries(words, st.builds(Service, words, st.none() | st.fixed_dictionaries({"roster": words}), st.none(), st.none() | words), max_size=2)
environments = st.builds(
    Environment,
    name=words,
    identity=st.dictionaries(words, words, max_size=2),
    services=services,
    hosts=st.lists(words, max_size=2),
    caps=st.dictionaries(words, st.floats(0, 1), max_size=2),
    lock=st.none() | st.fixed_dictionaries({"file": words}),
    retry=st.builds(Retry, st.floats(0.1, 1), st.floats(1, 100)),
    values=st.dictionaries(words, st.none() | st.integers() | words, max_size=2),
)


@given(environments)
def test_an_environment_survives_json(environment: Environment) -> None:
    assert Environment.from_json(json.loads(json.dumps(environment.to_json()))) == environment


BROKEN = [
    pytest.param("class: staging\n", "identity: is empty; a staging environment says which target it is", id="staging without identity"),
    pytest.param("class: production\nidentity: {}\n", "identity: is empty; a production environment says", id="production without identity"),
    pytest.param("class: lokal\n", "did you mean `local`?", id="an unknown class"),
    pytest.param("zones: {}\n", "class: missing; add it", id="no class"),
    pytest.param(
        "class: local\nservices: {shop: {kubernetes: {namespace: shop}}}\n",
        ":5: services.shop.kubernetes: `kubernetes` is not built yet; remove it",
        id="kubernetes",
    ),
    pytest.param("class: local\nservices: {shop: {mesh: {kind: istio}}}\n", "`mesh` is not built yet", id="mesh"),
    pytest.param("class: local\nservices: {shop: {database: {rds: x}}}\n", "`database` is not built yet", id="database"),
    pytest.param("class: local\nservices: {shop: {}}\n", "services: shop: expected `processes`, `url` or both", id="a service that is nowhere"),
    pytest.param("class: local\nservices: {shop: {url: ftp://x}}\n", "expected an address like https://", id="no web address"),
    pytest.param("class: local\nservices: {shop: {url: 'http://u:p@x'}}\nhosts: [x]\n", "without a user or password", id="a secret in an address"),
    pytest.param("class: local\nservices: {shop: {url: 'http://x:99999'}}\nhosts: [x]\n", "expected an address", id="no such port"),
    pytest.param("class: local\nservices: {shop: {url: 'http://[::1'}}\nhosts: [x]\n", "expected an address", id="a broken address"),
    pytest.param("class: local\nservices: {shop: {url: 'http://x'}}\n", "x, the address of service shop, is missing", id="a host that load may not reach"),
    pytest.param("class: local\nhosts: ['*.example.com']\n", "expected the name of one host", id="a wildcard host"),
    pytest.param("class: local\ncredentials: {aws_profile: x}\n", "`credentials` is not built yet", id="credentials"),
    pytest.param("class: local\nallow: {labels: [x]}\n", "allow.labels: unknown key", id="an allow-list of what it has not"),
    pytest.param("class: local\nallow: {contexts: [x]}\n", "allow.contexts: `contexts` is not built yet", id="allowed contexts"),
    pytest.param("class: local\nallow: {namespaces: [x]}\n", "`namespaces` is not built yet", id="allowed namespaces"),
    pytest.param("class: local\nallow: {accounts: [x]}\n", "`accounts` is not built yet", id="allowed accounts"),
    pytest.param("class: local\nallow: {services: [x]}\n", "services: x is none of `services` (there are: none)", id="an allowed service that is none"),
    pytest.param(
        "class: local\nhosts: [a.example]\nallow: {hosts: [b.example]}\n",
        "hosts: a.example, one of `hosts`, which load may reach",
        id="load beyond what is allowed",
    ),
    pytest.param("class: local\nnever: {name: [x]}\n", "never.name: unknown key; did you mean `names`?", id="a typo in never"),
    pytest.param("class: local\nnever: {labels: ['a b']}\n", "expected a label like tier or tier=gold", id="no label"),
    pytest.param("class: local\nlock: {lease: a/b}\n", "lock.lease: `lease` is not built yet", id="a lease"),
    pytest.param("class: local\nload: {where: kubernetes}\n", "load from kubernetes is not built yet", id="load elsewhere"),
    pytest.param("class: local\nsli_sources: {prometheus: {}}\n", "sli_sources.prometheus.url: missing", id="a source without address"),
    pytest.param("class: local\nsli_sources: {graphite: {}}\n", "sli_sources.graphite: unknown key", id="an unknown source"),
    pytest.param(
        "class: local\nsli_sources: {prometheus: {url: 'http://prom.example.com:9090'}}\n",
        "sli_sources: prometheus: prom.example.com:9090 is neither this machine nor one of `hosts`",
        id="a source that is off limits",
    ),
    pytest.param("class: local\nsli_sources: {prometheus: {url: 'http://me:pw@127.0.0.1'}}\n", "without a user or password", id="a password in an address"),
    pytest.param("class: local\nothers: {b: x.yaml}\n", "`others` is not built yet", id="a second environment"),
    pytest.param("class: local\ncaps: {per_owner: 34}\n", 'got 34, expected a ratio from 0 to 1; write 0.34 or "34%"', id="a cap without percent"),
    pytest.param("class: local\ncaps: {zone: 1}\n", "caps.zone: unknown key; did you mean `zones`?", id="a typo in a cap"),
    pytest.param("class: local\nvalues: {a: {b: 1}}\n", "values are flat", id="nested values"),
    pytest.param("class: local\nfuse: maybe\n", "fuse: got 'maybe', expected 'required'", id="an unknown fuse"),
    pytest.param("class: local\nretry: {base: 1}\n", "expected a duration with its unit", id="a bare time"),
    pytest.param("class: local\nidentity: {account: 123456789012}\n", "expected a text; put it in quotes", id="a number for a text"),
    pytest.param("class: local\nname: again\n", "the key is given twice (first on line 3)", id="a key twice"),
    pytest.param("class: local\n? [a]\n: 1\n", "a key is a list or a mapping", id="a list as key"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN)
def test_a_broken_environment_says_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        read(tmp_path, text)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("sandbox", EnvChoice("sandbox", "")),
        ("sandbox:one_zone,no_retries", EnvChoice("sandbox", "", ("one_zone", "no_retries"))),
        ("sandbox@demo", EnvChoice("sandbox", "demo")),
        ("staging", EnvChoice("file", "staging", (), Path("environments/staging.yaml"))),
        ("here/my.yaml", EnvChoice("file", "my", (), Path("here/my.yaml"))),
        ("./x", EnvChoice("file", "x", (), Path("x"))),
    ],
)
def test_the_env_argument_chooses(text: str, choice: EnvChoice) -> None:
    assert parse_env_argument(text) == choice


@pytest.mark.parametrize("text", ["", "sandbox:", "sandbox:a,,b", "sandbox:a,a", "sandbox:A", "sandbox@", "sandbox@..", "a b", "..", "/\0", "UPPER"])
def test_an_env_argument_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--env"):
        parse_env_argument(text)


@given(st.text("ab:@,./\0 Aé-_", max_size=12) | st.text("ab,:", max_size=6).map("sandbox".__add__))
def test_any_env_argument_gives_a_choice_or_a_usage_error(text: str) -> None:
    try:
        parse_env_argument(text)
    except UsageError:
        pass


def test_caps_become_plain_numbers() -> None:
    assert parse_caps({"zones": 1, "per_owner": "34%", "writes": 50000}) == {"zones": 1, "per_owner": 0.34, "writes": 50000}


@pytest.mark.parametrize("bad", [None, [], {"zones": "1"}, {"zones": True}, {"zones": -1}, {"per_owner": 34}, {"pods": 1}])
def test_caps_that_are_none_are_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_caps(bad)
