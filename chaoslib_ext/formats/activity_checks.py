"""
The checks of one Chaos Toolkit activity: its keys, its provider, its tolerance, and whether its code is admitted.

Nothing is imported: our own functions are read from source, a stranger's package is only looked for by its top name.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaoslib_ext.formats.activities_table import KNOWN_PACKAGES
from chaoslib_ext.formats.argument_checks import argument_problems
from chaoslib_ext.formats.file_problems import nearest, unknown_key
from chaoslib_ext.formats.foreign import lacking
from chaoslib_ext.formats.quantities import shown
from chaoslib_ext.formats.signatures import activity_modules, exported
from chaoslib_ext.formats.tolerance_checks import missing_package, tolerance_problems
from chaoslib_ext.formats.yamlfile import KeyPath

_KEYS = (
    "type",
    "name",
    "description",
    "provider",
    "tolerance",
    "pauses",
    "background",
    "ref",
    "controls",
    "configuration",
    "secrets",
    "timeout",
    "dry",
    "tags",
    "contributions",
)
_PROVIDER = {
    "python": ("type", "module", "func", "arguments", "secrets", "configuration", "timeout"),
    "http": ("type", "url", "method", "headers", "timeout", "arguments", "verify_tls", "max_retries", "secrets"),
    "process": ("type", "path", "arguments", "timeout", "secrets"),
}
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_WHOLE_VARIABLE = re.compile(r"\$\{[^}]+\}")

Say = Callable[..., None]  # path, text, and the kind of the problem where it is not the file


class ActivityCheck:
    """Checks activities and controls, and says what is wrong with them."""

    def __init__(self, say: Say, allow_code: bool) -> None:
        self.say, self.allow_code = say, allow_code

    def check(self, path: KeyPath, activity: Any, is_hypothesis: bool) -> bool:
        """Checks one activity; False when it is not even a mapping."""
        if not isinstance(activity, dict):
            self.say(path, f"got {shown(activity)}, expected an activity: a mapping with `type`, `name` and `provider`")
            return False
        for key in activity:
            if key not in _KEYS:
                self.say((*path, str(key)), unknown_key(key, _KEYS))
        if activity.get("dry") is not None:
            self.say((*path, "dry"), "Chaos Toolkit executes an activity with `dry`, whatever it says; remove it")
        if "ref" in activity:
            if not isinstance(activity["ref"], str) or not activity["ref"]:
                self.say((*path, "ref"), f"got {shown(activity['ref'])}, expected the name of an activity")
            return True
        self._own_keys(path, activity)
        if is_hypothesis and "tolerance" not in activity:
            self.say(path, "`tolerance` is missing; a probe of the hypothesis needs one, like `tolerance: true`")
        if "tolerance" in activity:
            self.tolerance((*path, "tolerance"), activity["tolerance"])
        self.controls(path, activity)
        self.provider((*path, "provider"), activity.get("provider"))
        return True

    def _own_keys(self, path: KeyPath, activity: dict[str, Any]) -> None:
        kind, name = activity.get("type"), activity.get("name")
        if kind not in ("probe", "action"):
            self.say((*path, "type"), f"got {shown(kind)}, expected probe or action" if "type" in activity else "missing; expected probe or action")
        if not isinstance(name, str) or not name.strip():
            self.say((*path, "name"), f"got {shown(name)}, expected a name that is not empty" if "name" in activity else "missing; add it")
        if not isinstance(activity.get("background", False), bool):
            self.say((*path, "background"), f"got {shown(activity['background'])}, expected true or false")
        if not _is_number_or_variable(activity.get("timeout", 1)):
            self.say((*path, "timeout"), f"got {shown(activity['timeout'])}, expected a number of seconds")
        pauses = activity.get("pauses", {})
        if not isinstance(pauses, dict):
            self.say((*path, "pauses"), f"got {shown(pauses)}, expected a mapping with `before` or `after`")
            return
        for key, value in pauses.items():
            if key not in ("before", "after"):
                self.say((*path, "pauses", str(key)), unknown_key(key, ["before", "after"]))
            elif value is not None and not _is_number_or_variable(value):
                self.say((*path, "pauses", key), f"got {shown(value)}, expected a number of seconds, or one ${{variable}}")

    def tolerance(self, path: KeyPath, tolerance: Any) -> None:
        """Checks a tolerance; one that is a probe is an activity again."""
        for where, text in tolerance_problems(tolerance):
            self.say((*path, *where), text)
        if missing := missing_package(tolerance):
            self.say(path, missing, "package")
        if isinstance(tolerance, dict) and tolerance.get("type") == "probe":
            self.check(path, tolerance, False)

    def controls(self, path: KeyPath, owner: dict[str, Any]) -> None:
        """Checks the controls of the experiment, of its hypothesis or of an activity: they are code too."""
        controls = owner.get("controls")
        if controls is None:
            return
        where = (*path, "controls")
        if not isinstance(controls, list):
            if path:  # at the top, the kind of the key was checked already
                self.say(where, f"got {shown(controls)}, expected a list of controls")
            return
        for at, control in enumerate(controls):
            if not isinstance(control, dict):
                self.say((*where, at), f"got {shown(control)}, expected a mapping with `name` and `provider`")
            elif "ref" not in control:
                if not isinstance(control.get("name"), str):
                    self.say((*where, at), "`name` is missing; add it")
                provider = control.get("provider")
                if not isinstance(provider, dict) or provider.get("type") != "python":
                    self.say((*where, at, "provider"), f"got {shown(provider)}, expected a provider of type python with a `module`")
                else:
                    self._code((*where, at, "provider"), provider.get("module"), None)

    def provider(self, path: KeyPath, provider: Any) -> None:
        """Checks what an activity calls."""
        if not isinstance(provider, dict):
            self.say(path, f"got {shown(provider)}, expected a mapping with `type`: python, http or process")
            return
        kind = provider.get("type")
        if not isinstance(kind, str) or kind not in _PROVIDER:
            near = nearest(kind, _PROVIDER)
            self.say((*path, "type"), f"got {shown(kind)}, expected python, http or process" + (f"; did you mean `{near}`?" if near else ""))
            return
        for key in provider:
            if key not in _PROVIDER[kind]:
                self.say((*path, str(key)), unknown_key(key, _PROVIDER[kind]))
        if "arguments" in provider and provider["arguments"] is None:
            self.say((*path, "arguments"), "is empty, which Chaos Toolkit fails on; remove the key")
        if kind == "python":
            self._python(path, provider)
        elif kind == "process":
            self._process(path, provider)
        else:
            self._http(path, provider)

    def _http(self, path: KeyPath, provider: dict[str, Any]) -> None:
        url, headers = provider.get("url"), provider.get("headers")
        if not isinstance(url, str) or not url:
            self.say((*path, "url"), f"got {shown(url)}, expected an address like https://shop.example.com/healthz" if "url" in provider else "missing; add it")
        if headers is not None and not isinstance(headers, dict):
            self.say((*path, "headers"), f"got {shown(headers)}, expected a mapping of names to texts")

    def _process(self, path: KeyPath, provider: dict[str, Any]) -> None:
        program, arguments = provider.get("path"), provider.get("arguments", [])
        if not isinstance(arguments, str | list | dict | None):
            self.say((*path, "arguments"), f"got {shown(arguments)}, expected a text, a list or a mapping")
        if not isinstance(program, str) or not program or "\0" in program:
            self.say((*path, "path"), f"got {shown(program)}, expected the path of a program" if "path" in provider else "missing; add it")
            return
        if not self.allow_code:
            self.say((*path, "path"), f"{shown(program)} is a program of your own, which is not run unless you pass --allow-code", "code")
        if "${" not in program and shutil.which(program) is None:
            self.say((*path, "path"), f"the program {shown(program)} is not found, or may not be executed; install it or mend the path", "program")

    def _python(self, path: KeyPath, provider: dict[str, Any]) -> None:
        module, func, arguments = provider.get("module"), provider.get("func"), provider.get("arguments")
        if arguments is not None and not isinstance(arguments, dict):
            self.say((*path, "arguments"), f"got {shown(arguments)}, expected a mapping of parameters to values")
            arguments = None
        if not isinstance(func, str) or not func:
            self.say((*path, "func"), f"got {shown(func)}, expected the name of a function" if "func" in provider else "missing; add it")
        named = func if isinstance(func, str) and func else None
        if not self._code(path, module, named) or not isinstance(module, str) or named is None:
            return
        if module.partition(".")[0] == "chaoslib_ext":
            names = exported(module)
            if named not in names:
                near = nearest(named, names)
                hint = f"did you mean `{near}`?" if near else f"there are: {', '.join(sorted(names)) or 'none'}"
                self.say((*path, "func"), f"{module} has no function {shown(named)}; {hint}")
            else:
                for where, text in argument_problems(module, named, arguments or {}):
                    self.say((*path, *where), text)

    def _code(self, path: KeyPath, module: Any, func: str | None) -> bool:
        """Is this module known, installed and admitted, and does it have the function? Says why not."""
        where = (*path, "module")
        if not isinstance(module, str) or not _MODULE.fullmatch(module):
            self.say(where, f"got {shown(module)}, expected a module like chaoslib_ext.faults" if module is not None else "missing; add it")
            return False
        top = module.partition(".")[0]
        if top == "chaoslib_ext":
            known = activity_modules()
            if module not in known:
                near = nearest(module, known)
                hint = f"did you mean `{near}`?" if near else f"there are: {', '.join(known)}"
                self.say(where, f"{module} is not a module of activities; {hint}")
            return module in known
        admitted = self.allow_code or top in KNOWN_PACKAGES
        if not admitted:
            self.say(where, f"{module} is code of your own, which is not imported unless you pass --allow-code", "code")
        missing = lacking(module, func, [] if top in KNOWN_PACKAGES and not self.allow_code else [Path.cwd()])
        if missing is not None:
            self.say((*path, "func") if missing.kind == "file" else where, missing.text, missing.kind)
        return admitted and missing is None


def _is_number_or_variable(value: Any) -> bool:
    if isinstance(value, str):
        return _WHOLE_VARIABLE.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)
