"""
Confirmations and stored approvals: who has agreed to a run, to what exactly, and until when.

An approval binds what is meant (experiment, load, SLOs, fault arguments, caps), the environment and its limits, how much may be
hit, and an expiry. Its hash tells an edit; it is no signature, and proves nobody's identity.
"""

from __future__ import annotations

import hashlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaoslib_ext.environment import Environment
from chaoslib_ext.errors import Refused, UsageError
from chaoslib_ext.faults.caps import most
from chaoslib_ext.runner.blast import limits
from chaoslib_ext.runner.plan import differences, drift, token

SCHEMA = 1
LONGEST_S = 90 * 86400.0  # who agreed a quarter ago does not know today's system; chosen by feel

Json = dict[str, Any]


def approve(plan: Json, by: str, until_s: float) -> Json:
    """
    The approval of a plan by a person until a Unix time. Raises UsageError for a plan that was edited, has no environment or is refused itself.
    """
    now_s = time.time()
    if token(plan["intent"]) != plan.get("token"):
        raise UsageError(f"the plan was changed after it was made: its token is {plan.get('token')!r}, its intent gives {token(plan['intent'])!r}; plan again")
    if plan.get("refused"):
        raise UsageError(f"the plan says itself that a run would be refused ({plan['refused'][0].get('text')}); there is nothing to approve")
    if not isinstance(plan.get("limits"), dict):
        raise UsageError("the plan does not say what its environment allows, as plans of an earlier version; plan again")
    if not by.strip():
        raise UsageError("--by: got nothing, expected who approves")
    if not now_s < until_s <= now_s + LONGEST_S:
        raise UsageError(f"--until: got {utc(until_s)}, expected a time from now on, within {LONGEST_S / 86400:g} days")
    resolved = [{key: row.get(key) for key in ("activity", "arguments", "targets", "of", "zones_lost", "survivors", "caps")} for row in plan["resolved"]]
    kept = {"intent": plan["intent"], "resolved": resolved, "limits": plan["limits"], "token": plan["token"]}
    content = {"schema": SCHEMA, "by": by.strip(), "made_utc": utc(now_s), "until_utc": utc(until_s), "until_s": until_s, "plan": kept}
    return {**content, "sha256": _hash(content)}


def utc(seconds: float) -> str:
    """A Unix time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _hash(content: Json) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_approval(path: Path) -> Json:
    """The approval that `chaosx approve` wrote. Raises UsageError when the file holds none, or one that was changed since."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as an approval ({getattr(error, 'strerror', None) or error}); chaosx approve writes one") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not isinstance(found.get("plan"), dict):
        raise UsageError(f"{path}: got no approval, expected what `chaosx approve PLAN -o {path}` writes")
    told = found.pop("sha256", None)
    if told != _hash(found):
        raise UsageError(f"{path}: was changed after it was given: its content does not match its hash; have it approved again")
    return {**found, "sha256": told}


# at a run ---------------------------------------------------------------------------------------------------------------


def confirmed(word: str, environment: Environment, plan: Json) -> bool:
    """
    Whether the words of `--confirm` hold the token of this plan; a name beside it may only be the environment's.

    Raises Refused NOT_APPROVED for any other word: it was meant for another plan, or another target.
    """
    words = word.split()
    if wrong := [one for one in words if one not in (plan["token"], environment.name)]:
        text = f"--confirm: got {wrong[0]!r}, expected {plan['token']}, the token of this plan in environment {environment.name}"
        raise Refused("NOT_APPROVED", f"{text}; look at it with chaosx plan; nothing was touched")
    return plan["token"] in words


def permission(environment: Environment, plan: Json, confirm: str, approval: Json | None) -> Json | None:
    """
    On whose word a run begins, for its header: `{how, by, until_utc, sha256, drift}`; None where nobody was asked and nobody needs to be.

    Raises Refused NOT_APPROVED where a production environment has no word, or the word does not fit, and TARGETS_CHANGED
    where more would be hit than was approved.
    """
    said = confirmed(confirm, environment, plan)
    if approval is not None:
        return _fits(environment, plan, approval)
    if said:
        return {"how": "confirmed", "by": None, "until_utc": None, "sha256": None, "drift": []}
    if environment.class_ == "production":
        text = (
            f"environment {environment.name} is production: confirm this plan with --confirm {plan['token']}, or give its stored approval with --approval FILE"
        )
        raise Refused("NOT_APPROVED", f"{text}; nothing was touched")
    return None


def told(permitted: Json | None) -> list[str]:
    """A permission as a run says it on standard error."""
    if permitted is None:
        return []
    head = f"approved by {permitted['by']} until {permitted['until_utc']}" if permitted["by"] else "confirmed with the plan's token"
    return [head, *(f"  not as approved, but within its caps: {line}" for line in permitted["drift"])]


def _fits(environment: Environment, plan: Json, approval: Json) -> Json:
    """The permission of a stored approval, with what has changed inside it. Raises Refused where it does not reach this run."""
    approved, whose = approval["plan"], f"the approval of {approval['by']}"
    if time.time() >= approval["until_s"]:
        raise Refused("NOT_APPROVED", f"{whose} ended at {approval['until_utc']}; have it approved again; nothing was touched")
    rows = {str(row["activity"]): row for row in approved["resolved"]}
    other = differences(approved["limits"], limits(environment), "environment") + differences(approved["intent"], plan["intent"])
    other += [line for row in plan["resolved"] for line in differences(rows.get(row["activity"], {}).get("arguments"), row["arguments"], row["activity"])]
    if other:
        raise Refused("NOT_APPROVED", f"{whose} is for something else:\n" + "\n".join(f"  {line}" for line in other))
    too_much = [line for row in plan["resolved"] for line in _beyond(rows[str(row["activity"])], row)]
    if too_much:
        raise Refused("TARGETS_CHANGED", f"more than {whose} allows:\n" + "\n".join(f"  {line}" for line in too_much))
    shown = [line for row in plan["resolved"] for line in drift(str(row["activity"]), rows[str(row["activity"])], row)]
    return {"how": "approval", "by": approval["by"], "until_utc": approval["until_utc"], "sha256": approval["sha256"], "drift": shown}


def _beyond(approved: Json, row: Json) -> list[str]:
    """What of a row is outside its caps; where it has no cap, more than was approved."""
    caps, found = approved["caps"], []
    if len(row["zones_lost"]) > caps.get("zones", len(approved["zones_lost"])):
        found.append(f"{row['activity']}: {len(row['zones_lost'])} zones would be lost, approved are {caps.get('zones', len(approved['zones_lost'])):g}")
    for service, of in row["of"].items():
        allowed = most(caps["per_owner"], of["total"]) if "per_owner" in caps else (approved["of"].get(service) or {}).get("hit", 0)
        if of["hit"] > allowed:
            found.append(f"{row['activity']}: {of['hit']} of {of['total']} of {service} would be hit, approved are {allowed}")
    return found
