"""
The checks of a Chaos Toolkit document: keys, activities, variables, what the process environment must hold.

Everything that is found is told at once. Facts about chaoslib are from its 1.44 source.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from chaoslib_ext.errors import Problem
from chaoslib_ext.formats.activities_table import managed_kind
from chaoslib_ext.formats.activity_checks import ActivityCheck
from chaoslib_ext.formats.file_problems import nearest, unknown_key
from chaoslib_ext.formats.quantities import shown
from chaoslib_ext.formats.variables import names_in
from chaoslib_ext.formats.yamlfile import Document, KeyPath

_TOP = (
    *("title", "description", "version", "method", "steady-state-hypothesis", "rollbacks", "configuration"),
    *("secrets", "controls", "extensions", "tags", "contributions", "runtime", "dry"),
)
_HYPOTHESIS = ("title", "description", "probes", "controls")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What reading depends on besides the file: is code admitted, values from outside, the process environment."""

    allow_code: bool
    variables: dict[str, Any]
    environ: dict[str, str]


def check_document(document: Document, around: Surroundings) -> tuple[list[Problem], list[str]]:
    """The problems and warnings of a document whose root is a mapping; our block is not looked at."""
    check = _Check(document, around)
    check.run()
    return check.problems, check.warnings


class _Check:
    """One pass over one document."""

    def __init__(self, document: Document, around: Surroundings) -> None:
        self.document, self.around, self.data = document, around, document.data
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.activity = ActivityCheck(self.say, around.allow_code)

    def say(self, path: KeyPath, text: str, kind: str = "file") -> None:
        """Notes a problem; `kind` as in `Problem`."""
        self.problems.append(self.document.problem(path, text, kind))

    def run(self) -> None:
        """All checks, in the order of the file's usual parts."""
        for key in self.data:
            if key not in _TOP:
                self.say((str(key),), unknown_key(key, _TOP))
        if not isinstance(self.data.get("title"), str) or not self.data["title"].strip():
            self.say(("title",), "missing; add a title: the question that the experiment answers")
        if "method" not in self.data:
            self.say((), "`method` is missing; add it, it may be an empty list")
        if self.data.get("dry") is not None:
            self.say(("dry",), "`dry` is not built yet; remove it and use `chaosx plan`")
        for key in ("configuration", "secrets", "runtime"):
            self._kind(key, dict, "a mapping of keys to values")
        for key in ("extensions", "controls", "tags", "rollbacks"):
            self._kind(key, list, "a list")
        self._extensions()
        activities = self._activities()
        self._refs(activities)
        self._managed_names()
        self._environment_variables()
        self._variables()

    def _kind(self, key: str, kind: type, expected: str) -> None:
        if key in self.data and not isinstance(self.data[key], kind):
            self.say((key,), f"got {shown(self.data[key])}, expected {expected}; remove the key if it is empty")

    def _part(self, key: str, kind: type) -> Any:
        """The value at a top key, or an empty one where it is of the wrong kind."""
        value = self.data.get(key)
        return value if isinstance(value, kind) else kind()

    def _extensions(self) -> None:
        for at, extension in enumerate(self._part("extensions", list)):
            name = extension.get("name") if isinstance(extension, dict) else None
            if not isinstance(name, str) or not name.strip():
                self.say(("extensions", at), "expected a mapping with a non-empty `name`")

    def _activities(self) -> list[tuple[KeyPath, dict[str, Any]]]:
        """Checks every activity of the file and gives those of hypothesis, method and rollbacks."""
        found: list[tuple[KeyPath, dict[str, Any]]] = []
        for path, activity in [*self._hypothesis(), *self._listed("method"), *self._listed("rollbacks")]:
            if self.activity.check(path, activity, path[0] == "steady-state-hypothesis"):
                found.append((path, activity))
        for name, value in self._part("configuration", dict).items():
            if isinstance(value, dict) and value.get("type") == "probe":
                self.activity.check(("configuration", str(name)), value, False)
        self.activity.controls((), self.data)
        return found

    def _hypothesis(self) -> list[tuple[KeyPath, Any]]:
        hypothesis = self.data.get("steady-state-hypothesis")
        if hypothesis is None:
            return []
        where: KeyPath = ("steady-state-hypothesis",)
        if not isinstance(hypothesis, dict):
            self.say(where, f"got {shown(hypothesis)}, expected a mapping with `title` and `probes`")
            return []
        for key in hypothesis:
            if key not in _HYPOTHESIS:
                self.say((*where, str(key)), unknown_key(key, _HYPOTHESIS))
        if not hypothesis.get("title"):
            self.say(where, "`title` is missing; add it")
        self.activity.controls(where, hypothesis)
        probes = hypothesis.get("probes")
        if probes is not None and not isinstance(probes, list):
            self.say((*where, "probes"), f"got {shown(probes)}, expected a list of probes")
        return [((*where, "probes", at), probe) for at, probe in enumerate(probes)] if isinstance(probes, list) else []

    def _listed(self, key: str) -> list[tuple[KeyPath, Any]]:
        if key == "method" and key in self.data and not isinstance(self.data[key], list):
            self.say((key,), f"got {shown(self.data[key])}, expected a list of activities, which may be empty: []")
        return [((key, at), activity) for at, activity in enumerate(self._part(key, list))]

    def _refs(self, activities: list[tuple[KeyPath, dict[str, Any]]]) -> None:
        names = [activity["name"] for _, activity in activities if isinstance(activity.get("name"), str) and "ref" not in activity]
        for path, activity in activities:
            ref = activity.get("ref")
            if isinstance(ref, str) and ref and ref not in names:
                near = nearest(ref, names)
                hint = f"did you mean {near!r}?" if near else f"there are: {', '.join(sorted(names)) or 'none'}"
                self.say((*path, "ref"), f"no activity is called {shown(ref)}; {hint}")

    def _managed_names(self) -> None:
        """A fault is known everywhere by its activity's name, so it must be the only one so called."""
        method = [one if isinstance(one, dict) else {} for one in self._part("method", list)]
        names = [one.get("name") for one in method]
        for at, activity in enumerate(method):
            kind, name = managed_kind(activity), activity.get("name")
            if kind and isinstance(name, str) and (names.count(name) > 1 or any(one.get("ref") == name for one in method)):
                self.say(("method", at, "name"), f"the fault {name!r} must have a name of its own; rename it, or copy it where it is referred to")
            if kind and activity.get("background"):
                self.say(("method", at, "background"), "a fault of chaoslib_ext returns as soon as it is in effect; remove `background`")
        for at, activity in enumerate(self._part("rollbacks", list)):
            if isinstance(activity, dict) and managed_kind(activity):
                self.say(("rollbacks", at), "a fault of chaoslib_ext in `rollbacks`; remove it: the healer takes faults back")

    def _environment_variables(self) -> None:
        for name, value in self._part("configuration", dict).items():
            if isinstance(value, dict) and value.get("type") == "env" and name not in self.around.variables:
                self._one_variable(("configuration", str(name)), value, "default" in value)
        for target, group in self._part("secrets", dict).items():
            if isinstance(group, dict) and group.get("type") == "env":
                self._one_variable(("secrets", str(target)), group, False)
            if _has_vault(group) and importlib.util.find_spec("hvac") is None:
                self.say(("secrets", str(target)), "package hvac is not installed; pip install 'chaostoolkit-lib[vault]'", "package")
            for name, value in group.items() if isinstance(group, dict) else ():
                if isinstance(value, dict) and value.get("type") == "env":
                    self._one_variable(("secrets", str(target), str(name)), value, False)

    def _one_variable(self, path: KeyPath, value: dict[str, Any], has_default: bool) -> None:
        key = value.get("key")
        if not isinstance(key, str) or not key:
            self.say(path, "`key` is missing; add the name of the environment variable")
        elif key not in self.around.environ and not has_default:
            more = ", or give a `default`" if path[0] == "configuration" else ""
            self.say(path, f"the environment variable {key} is not set; set it{more}", "environment")

    def _variables(self) -> None:
        """Variables that nobody defines; a control may supply them at run time, and so may a vault."""
        known = set(self._part("configuration", dict)) | set(self.around.variables)
        groups = self._part("secrets", dict)
        known |= set(groups) | {name for group in groups.values() if isinstance(group, dict) for name in group}
        late = bool(self.data.get("controls")) or any(_has_vault(group) for group in groups.values())
        places: list[KeyPath] = [("steady-state-hypothesis",), ("method",), ("rollbacks",)]
        for place in places:
            for path, text in _texts(self.data.get(str(place[0])), place):
                named = names_in(text) - {str(one) for one in known}
                if path[-2:] == ("provider", "arguments"):  # one text for a process: a shell expands its own environment
                    named -= set(self.around.environ)
                for name in sorted(named):
                    self._undefined(path, name, late, {str(one) for one in known})

    def _undefined(self, path: KeyPath, name: str, late: bool, known: set[str]) -> None:
        near = nearest(name, known)
        text = f"${{{name}}} is defined nowhere; " + (f"did you mean ${{{near}}}?" if near else "add it to `configuration` or pass it as a value")
        if late:
            problem = self.document.problem(path, f"${{{name}}} is defined nowhere; a control or a vault must supply it at run time")
            self.warnings.append(str(problem))
        else:
            self.say(path, text)


def _has_vault(group: Any) -> bool:
    """Whether a group of secrets, or one of its values, comes from a vault."""
    return isinstance(group, dict) and any(isinstance(one, dict) and one.get("type") == "vault" for one in (group, *group.values()))


def _texts(value: Any, path: KeyPath) -> list[tuple[KeyPath, str]]:
    """Every text below a value, with its path."""
    if isinstance(value, str):
        return [(path, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in _texts(item, (*path, key if isinstance(key, int) else str(key)))]
