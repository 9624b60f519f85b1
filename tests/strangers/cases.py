# ruff: noqa: E501 - a table: one stranger's file, one entry
"""
Files as strangers write them: small ones, modelled on the shapes of 177 public experiments, 133 locustfiles and 237 OpenSLO files.

Each says what `chaosx validate` must answer: `wants` maps the kind of a problem to a text that it must hold, nothing means taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    name: str
    file: str
    text: str
    wants: dict[str, str] = field(default_factory=dict)
    warns: tuple[str, ...] = ()
    allow_code: bool = False
    beside: dict[str, str] = field(default_factory=dict)


UNMANAGED = "UNMANAGED_ACTION"
PODS = '{"type": "action", "name": "kill a pod", "provider": {"type": "python", "module": "chaosk8s.pod.actions", "func": "terminate_pods", "arguments": {"label_selector": "app=shop", "rand": true}}}'
UP = '{"type": "probe", "name": "up", "tolerance": 200, "provider": {"type": "http", "url": "http://127.0.0.1:1/"}}'
PROBE = "{type: probe, name: up, tolerance: 200, provider: {type: http, url: 'http://127.0.0.1:1/'}}"
POST = "{type: action, name: break it, provider: {type: http, url: 'http://127.0.0.1:1/', method: POST}}"


def method(*activities: str, more: str = "") -> str:
    """A YAML experiment with these activities."""
    return "title: a stranger's\ndescription: theirs\n" + more + "method:\n" + "".join(f"- {one}\n" for one in activities)


EXPERIMENTS = [
    Case(
        "no version, no rollbacks, as JSON",
        "e.json",
        f'{{"title": "t", "description": "d", "steady-state-hypothesis": {{"title": "h", "probes": [{UP}]}}, "method": [{PODS}]}}',
        warns=(UNMANAGED,),
    ),
    Case(
        "with version, tags and contributions",
        "e.json",
        f'{{"version": "1.0.0", "title": "t", "description": "d", "tags": ["k8s"], "contributions": {{"reliability": "high", "security": "none"}}, "method": [{PODS}], "rollbacks": []}}',
        warns=(UNMANAGED, "NO_OBJECTIVE"),
    ),
    Case("no hypothesis", "e.yaml", method(POST), warns=(UNMANAGED, "NO_OBJECTIVE")),
    Case("an empty method", "e.yaml", f"title: t\ndescription: d\nsteady-state-hypothesis: {{title: h, probes: [{PROBE}]}}\nmethod: []\n", warns=("NO_FAULT",)),
    Case("variables from configuration", "e.yaml", method(POST.replace("127.0.0.1", "${host}"), more="configuration: {host: 127.0.0.1}\n"), warns=(UNMANAGED,)),
    Case(
        "a variable of type env that is not set",
        "e.yaml",
        method(POST.replace("127.0.0.1", "${host}"), more="configuration: {host: {type: env, key: STRANGERS_HOST}}\n"),
        {"environment": "the environment variable STRANGERS_HOST is not set"},
        warns=(UNMANAGED,),
    ),
    Case(
        "a variable of type env with a default",
        "e.yaml",
        method(POST.replace("127.0.0.1", "${host}"), more="configuration: {host: {type: env, key: STRANGERS_HOST, default: x, env_var_type: str}}\n"),
    ),
    Case(
        "a secret from the environment",
        "e.yaml",
        method(POST, more="secrets: {shop: {token: {type: env, key: STRANGERS_TOKEN}}}\n"),
        {"environment": "STRANGERS_TOKEN is not set"},
    ),
    Case(
        "inline secrets, used by a probe",
        "e.yaml",
        method(
            "{type: probe, name: p, secrets: [shop], provider: {type: http, url: 'http://127.0.0.1:1/', headers: {Authorization: '${token}'}, secrets: [shop]}}",
            more="secrets: {shop: {token: abc}}\n",
        ),
    ),
    Case(
        "secrets from a vault",
        "e.yaml",
        method(POST, more="configuration: {vault_addr: 'http://127.0.0.1:8200'}\nsecrets: {shop: {token: {type: vault, path: secret/shop}}}\n"),
        {"package": "hvac is not installed; pip install 'chaostoolkit-lib[vault]'"},
    ),
    Case(
        "pauses before and after",
        "e.yaml",
        method("{type: action, name: a, pauses: {before: 1, after: 2.5}, provider: {type: http, url: 'http://127.0.0.1:1/'}}"),
    ),
    Case(
        "a pause that is a variable",
        "e.yaml",
        method("{type: action, name: a, pauses: {after: '${wait}'}, provider: {type: http, url: 'http://127.0.0.1:1/'}}", more="configuration: {wait: 3}\n"),
    ),
    Case(
        "a probe of the hypothesis referred to in the method",
        "e.yaml",
        f"title: t\ndescription: d\nsteady-state-hypothesis: {{title: h, probes: [{PROBE}]}}\nmethod:\n- {POST}\n- {{ref: up}}\n",
        warns=(UNMANAGED,),
    ),
    Case("a reference to nobody", "e.yaml", method("{ref: nobody}"), {"file": "no activity is called 'nobody'"}),
    Case(
        "an action in the background",
        "e.yaml",
        method("{type: action, name: a, background: true, provider: {type: http, url: 'http://127.0.0.1:1/'}}"),
        warns=(UNMANAGED,),
    ),
    Case(
        "a tolerance on an activity of the method",
        "e.yaml",
        method("{type: probe, name: p, tolerance: [200, 503], provider: {type: http, url: 'http://127.0.0.1:1/'}}"),
        warns=("NO_FAULT",),
    ),
    Case("a pair of timeouts", "e.yaml", method("{type: probe, name: p, provider: {type: http, url: 'http://127.0.0.1:1/', timeout: [1, 2]}}")),
    Case(
        "process arguments as one string",
        "e.yaml",
        method("{type: action, name: a, provider: {type: process, path: echo, arguments: '-n hello $HOME'}}"),
        warns=(UNMANAGED,),
        allow_code=True,
    ),
    Case(
        "process arguments as a list", "e.yaml", method("{type: action, name: a, provider: {type: process, path: echo, arguments: [hello]}}"), allow_code=True
    ),
    Case(
        "a process without --allow-code",
        "e.yaml",
        method("{type: action, name: a, provider: {type: process, path: echo, arguments: hi}}"),
        {"code": "'echo' is a program of your own, which is not run unless you pass --allow-code"},
    ),
    Case(
        "a program that is not there",
        "e.yaml",
        method("{type: action, name: a, provider: {type: process, path: vegeta-of-a-stranger, arguments: attack}}"),
        {"program": "the program 'vegeta-of-a-stranger' is not found"},
        allow_code=True,
    ),
    Case(
        "a script that may not be executed",
        "e.yaml",
        method("{type: action, name: a, provider: {type: process, path: ./run.sh}}"),
        {"program": "./run.sh"},
        allow_code=True,
        beside={"run.sh": "#!/bin/sh\n"},
    ),
    Case(
        "controls that supply variables at run time",
        "e.yaml",
        method(POST.replace("127.0.0.1", "${tf_out__host}"), more="controls: [{name: tf, provider: {type: python, module: chaosterraform.control}}]\n"),
        {"package": "chaostoolkit-terraform is not installed; pip install chaostoolkit-terraform", "code": "chaosterraform.control"},
        warns=("${tf_out__host} is defined nowhere; a control or a vault must supply it",),
    ),
    Case("a variable that nobody defines", "e.yaml", method(POST.replace("127.0.0.1", "${host}")), {"file": "${host} is defined nowhere"}),
    Case(
        "an action of Spring",
        "e.yaml",
        method("{type: action, name: a, provider: {type: python, module: chaosspring.actions, func: enable_chaosmonkey, arguments: {base_url: x}}}"),
        {"package": "package chaostoolkit-spring is not installed; pip install chaostoolkit-spring", "code": "--allow-code"},
        warns=(UNMANAGED,),
    ),
    Case(
        "a probe of Prometheus",
        "e.yaml",
        method("{type: probe, name: p, provider: {type: python, module: chaosprometheus.probes, func: query, arguments: {query: up}}}"),
        {"package": "chaostoolkit-prometheus"},
        allow_code=True,
    ),
    Case(
        "an action of Istio",
        "e.yaml",
        method("{type: action, name: a, provider: {type: python, module: chaosistio.fault.actions, func: add_delay_fault, arguments: {}}}"),
        {"package": "chaostoolkit-istio is not installed"},
        allow_code=True,
    ),
    Case(
        "an action of AWS",
        "e.yaml",
        method("{type: action, name: a, provider: {type: python, module: chaosaws.ec2.actions, func: stop_instance, arguments: {}}}"),
        {"package": "chaostoolkit-aws is not installed; pip install 'chaoslib_ext[aws]'"},
        warns=(UNMANAGED,),
    ),
    Case(
        "a package of their own that is nowhere",
        "e.yaml",
        method("{type: probe, name: p, provider: {type: python, module: acme_chaos.probes, func: f}}"),
        {"package": "package acme_chaos is not installed"},
        allow_code=True,
    ),
    Case(
        "a module of their own beside the file",
        "e.yaml",
        method("{type: probe, name: p, provider: {type: python, module: acme, func: healthy}}"),
        allow_code=True,
        beside={"acme.py": "raise SystemExit('imported')\ndef healthy(): ...\n"},
    ),
    Case(
        "a function that the module beside has not",
        "e.yaml",
        method("{type: probe, name: p, provider: {type: python, module: acme, func: health}}"),
        {"file": "acme has no function 'health'; did you mean `healthy`?"},
        allow_code=True,
        beside={"acme.py": "def healthy(): ...\n"},
    ),
    Case(
        "a module of an old version of chaosk8s",
        "e.yaml",
        method("{type: probe, name: p, provider: {type: python, module: chaosk8s.probes_of_old, func: all_microservices_healthy}}"),
        {"package": "chaostoolkit-kubernetes is installed, but has no module chaosk8s.probes_of_old"},
    ),
    Case(
        "a function that chaosk8s no longer has",
        "e.yaml",
        method("{type: action, name: a, provider: {type: python, module: chaosk8s.pod.actions, func: terminate_podz}}"),
        {"file": "did you mean `terminate_pods`?"},
    ),
    Case(
        "a JSON path as tolerance",
        "e.yaml",
        f"title: t\ndescription: d\nsteady-state-hypothesis: {{title: h, probes: [{PROBE.replace('200', '{type: jsonpath, path: $.status}')}]}}\nmethod: []\n",
        {"package": "jsonpath2 is not installed; pip install 'chaostoolkit-lib[jsonpath]'"},
    ),
    Case(
        "a regular expression, a range and a probe as tolerance",
        "e.yaml",
        "title: t\ndescription: d\nsteady-state-hypothesis:\n  title: h\n  probes:\n"
        + "".join(
            f"  - {PROBE.replace('200', one).replace('name: up', f'name: p{at}')}\n"
            for at, one in enumerate(("{type: regex, pattern: '^ok'}", "{type: range, range: [0, 5]}", "true"))
        )
        + "method: []\n",
    ),
    Case(
        "a float as tolerance",
        "e.yaml",
        f"title: t\ndescription: d\nsteady-state-hypothesis: {{title: h, probes: [{PROBE.replace('200', '0.5')}]}}\nmethod: []\n",
        {"file": "which Chaos Toolkit refuses"},
    ),
    Case(
        "arguments that are null",
        "e.json",
        '{"title": "t", "description": "d", "method": [{"type": "probe", "name": "p", "provider": {"type": "http", "url": "http://127.0.0.1/", "arguments": null}}]}',
        {"file": "is empty, which Chaos Toolkit fails on"},
    ),
    Case("a raw line feed in JSON", "e.json", '{"title": "t\n", "method": []}', {"file": "not valid JSON: Invalid control character"}),
    Case("JSON with a trailing comma", "e.json", '{"title": "t", "method": [],}', {"file": "not valid JSON"}),
    Case(
        "dry activities of a newer chaos",
        "e.yaml",
        method("{type: action, name: a, dry: true, provider: {type: http, url: 'http://127.0.0.1:1/'}}"),
        {"file": "Chaos Toolkit executes an activity with `dry`"},
    ),
    Case("a typo that chaos ignores", "e.yaml", method(POST) + "rollback: []\n", {"file": "did you mean `rollbacks`?"}),
    Case("runtime strategies", "e.yaml", method(POST, more="runtime: {rollbacks: {strategy: always}, hypothesis: {strategy: default}}\n"), warns=(UNMANAGED,)),
    Case("an extension block of somebody else", "e.yaml", method(POST) + "extensions: [{name: acme, team: shop}]\n", warns=(UNMANAGED,)),
    Case("rollbacks of their own", "e.yaml", method(POST) + f"rollbacks: [{POST.replace('break it', 'mend it')}]\n", warns=(UNMANAGED,)),
    Case(
        "dynamic configuration", "e.yaml", method(POST, more="configuration: {n: {type: probe, name: n, provider: {type: http, url: 'http://127.0.0.1:1/'}}}\n")
    ),
]

USER = "from locust import HttpUser, task\n\nclass Shopper(HttpUser):\n    @task\n    def look(self):\n        self.client.get('/')\n"
LOCUSTFILES = [
    Case("a plain locustfile", "locustfile.py", USER, warns=("CLOSED_MODEL",)),
    Case(
        "a locustfile of Locust before 1.0",
        "locustfile.py",
        "from locust import HttpLocust, TaskSet\n\nclass U(HttpLocust):\n    pass\n",
        {"version": "HttpLocust is of Locust before 1.0, which does not run on this Python; it is called HttpUser now"},
    ),
    Case("a TaskSequence", "locustfile.py", "from locust import TaskSequence, seq_task, HttpUser\n", {"version": "TaskSequence is of Locust before 1.0"}),
    Case("a missing plugin", "locustfile.py", "import locust_plugins\n" + USER, {"package": "needs the module locust_plugins, which is not there"}),
    Case("several missing modules", "locustfile.py", "import paho.mqtt.client, pandas_of_a_stranger\n" + USER, {"package": "needs the module paho"}),
    Case(
        "a package beside the folder of the file",
        "load/locustfile.py",
        "from common.shop import USERS\n" + USER,
        beside={"common/__init__.py": "", "common/shop.py": "USERS = 1\n"},
    ),
    Case("an import that the file guards itself", "locustfile.py", "try:\n    import faker_of_a_stranger\nexcept ImportError:\n    faker = None\n" + USER),
    Case("a file that blocks at import", "locustfile.py", "import time\nwhile True:\n    time.sleep(1)\n" + USER),
    Case("a file that runs a whole test at import", "locustfile.py", "import subprocess\nsubprocess.run(['touch', 'imported'])\n" + USER),
    Case("Python 2", "locustfile.py", "print 'hello'\n" + USER, {"file": "it looks like Python 2"}),
    Case("no user at all", "locustfile.py", "import os\n", warns=("no class derived from User",)),
    Case("a file that is no text", "locustfile.py", "\0\0\0", {"file": ""}),
]

RATIO = "ratioMetric: {counter: true, good: {metricSource: {type: locust, spec: {select: {name: a}, condition: success}}}, total: {metricSource: {type: locust, spec: {select: {name: a}}}}}"
SLO = """apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout}
spec:
  service: shop
  indicator: {metadata: {name: ok}, spec: {RATIO}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
""".replace("RATIO", RATIO)


def listed(text: str) -> str:
    """A document as the only item of a list."""
    first, *rest = text.splitlines()
    return "\n".join([f"- {first}", *(f"  {line}" for line in rest)]) + "\n"


SLOS = [
    Case("one that we can judge", "s.yaml", SLO),
    Case(
        "v1alpha",
        "s.yaml",
        SLO.replace("openslo/v1", "openslo/v1alpha"),
        {"file": "document 0: version not supported: got 'openslo/v1alpha', expected openslo/v1"},
    ),
    Case("v2alpha", "s.yaml", SLO.replace("openslo/v1", "openslo.com/v2alpha"), {"file": "version not supported: got 'openslo.com/v2alpha'"}),
    Case("openslo.com/v1", "s.yaml", SLO.replace("openslo/v1", "openslo.com/v1"), {"file": "version not supported"}),
    Case("a list as root", "s.yaml", listed(SLO)),
    Case("a list as root, of another version", "s.yaml", listed(SLO).replace("openslo/v1", "openslo/v1alpha"), {"file": "version not supported"}),
    Case("several documents", "s.yaml", SLO + "---\n" + SLO.replace("checkout", "basket")),
    Case("a good and an old document", "s.yaml", SLO + "---\n" + SLO.replace("openslo/v1", "openslo/v1alpha"), {"file": "document 1: version not supported"}),
    Case(
        "a calendar whose start YAML makes a datetime",
        "s.yaml",
        SLO.replace("isRolling: true", "isRolling: false, calendar: {startTime: 2026-01-01 12:00:00, timeZone: Europe/Berlin}"),
    ),
    Case("op on a ratio", "s.yaml", SLO.replace("{target: 0.99}", "{target: 0.99, op: gte}"), warns=("`op` has no meaning for a ratio",)),
    Case(
        "two time windows",
        "s.yaml",
        SLO.replace("[{duration: 30d, isRolling: true}]", "[{duration: 30d}, {duration: 7d}]"),
        {"file": "got 2 time windows, expected exactly 1"},
    ),
    Case("a name with spaces", "s.yaml", SLO.replace("name: checkout", "name: Check out"), {"file": "RFC 1123"}),
    Case("weeks by name", "s.yaml", SLO.replace("30d", "1Week"), {"file": "expected a number and one of m h d w M Q Y"}),
    Case("a target of one", "s.yaml", SLO.replace("0.99}", "1.0}"), {"file": "expected a ratio above 0 and below 1"}),
    Case(
        "an indicator of another file",
        "s.yaml",
        SLO.replace("indicator: {metadata: {name: ok}, spec: {" + RATIO + "}}", "indicatorRef: elsewhere"),
        {"file": "no SLI is called 'elsewhere'"},
    ),
    Case("a source that is not built", "s.yaml", SLO.replace("type: locust", "type: Datadog"), {"file": "source type Datadog"}),
    Case(
        "a file of another tool",
        "s.yaml",
        "apiVersion: pyrra.dev/v1alpha1\nkind: ServiceLevelObjective\nspec: {}\n",
        {"file": "got apiVersion 'pyrra.dev/v1alpha1' and kind 'ServiceLevelObjective', expected chaosx/v1"},
    ),
]
