"""
What must be settled before a run may touch its target: the lock, what earlier runs left, and the fuses of what it would hold.
"""

from __future__ import annotations

from typing import Any

from chaoslib_ext import fuses, locks, state
from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import Refused, UsageError
from chaoslib_ext.recover import owner_alive

Json = dict[str, Any]


def refuse_after_dirty(environment: Environment) -> None:
    """Refused when an earlier run on the same target is open: alive, being healed, or not proven healed."""
    for folder in state.open_runs():
        header = state.header(folder)
        identity = (header.get("environment") or {}).get("identity")
        rebuilt = isinstance(identity, dict) and identity.get("target") in environment.identity.values()
        if header and identity != environment.identity and not rebuilt:  # a run of which nothing can be read may be one of this target
            continue
        if owner_alive(folder):
            raise Refused("LOCK_HELD", f"{environment.name}: run {folder.name} is under way")
        raise Refused("EARLIER_RUN_DIRTY", f"{environment.name}: run {folder.name} is not proven healed; run: chaosx recover --run {folder.name}")


def lock_target(environment: Environment, run_id: str) -> tuple[locks.Held, ...]:
    """The locks of the target, held for a run. Raises Refused where an earlier run is open, or another one has a lock."""
    refuse_after_dirty(environment)
    return locks.take(environment, run_id)


def without_fuse(environment: Environment, plan: Json, no_fuse: bool, confirm: str) -> list[str]:
    """
    The faults that go on without a fuse because a person has confirmed it; empty when `no_fuse` is not asked for.

    Raises Refused FUSE_MISSING where the environment wants a fuse and a fault has none, and UsageError for a wrong confirm word.
    """
    held = [row for row in plan["resolved"] if row["kind"] == "held"]
    if no_fuse:
        _check_word(environment, str(plan["token"]), confirm)
        return [str(row["activity"]) for row in held]
    lacking = [str(row["activity"]) for row in held if not row.get("fuse")]
    if lacking and fuses.required(environment.class_, environment.fuse):
        word = " ".join(_words(environment, str(plan["token"])))
        text = f"environment {environment.name}: no fuse can be armed for {', '.join(lacking)}, and without one nobody takes it back when this machine is lost"
        raise Refused("FUSE_MISSING", f"{text}; a person who vouches for that runs with: --no-fuse --confirm {_quoted(word)}")
    return []


def unfused(environment: Environment, plan: Json) -> list[Json]:
    """What `chaosx plan` says is refused for want of a fuse, as `{activity, reason, text}`."""
    try:
        without_fuse(environment, plan, False, "")
    except Refused as error:
        return [{"activity": None, "reason": error.reason, "text": str(error)}]
    return []


def _words(environment: Environment, token: str) -> list[str]:
    return [environment.name, *([token] if environment.class_ == "production" else [])]


def _quoted(word: str) -> str:
    return f"'{word}'" if " " in word else word


def _check_word(environment: Environment, token: str, confirm: str) -> None:
    words = _words(environment, token)
    if not set(words) <= set(confirm.split()):  # what else is in it is judged with the permission of the run
        what = "the environment's name" + (" and the plan's token (chaosx plan shows it)" if len(words) > 1 else "")
        raise UsageError(f"run --no-fuse: --confirm: got {confirm!r}, expected {what}: {_quoted(' '.join(words))}; nothing was touched")
