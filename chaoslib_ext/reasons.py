"""
Why a verdict is what it is: one closed list of codes, each with a sentence and the next step.

A code is for ever; a new one needs a line here and a situation that triggers it in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One code, what it means in a sentence, and what to do so that the next run decides."""

    code: str
    sentence: str
    next_step: str


_LIST = [
    # an objective was missed, proven
    Reason("SLO_MISSED", "An SLO was missed in a window where it was promised.", "See the objectives table; the first failed row names the window."),
    Reason(
        "RTO_MISSED",
        "The system did not recover within the recovery time objective.",
        "See the recovery section; shorten detection or add capacity in the other zones.",
    ),
    Reason(
        "RECOVERY_AFTER_REMOVAL_MISSED",
        "After the fault was taken back, recovery took longer than promised.",
        "Look at what came back late: restarts, reconnects, cold caches.",
    ),
    Reason("BUDGET_OVERSPENT", "The run spent more of the error budget than it was allowed to.", "Weaken the fault or raise `budget.max_spend` knowingly."),
    Reason("HYPOTHESIS_NOT_MET_AFTER", "The steady-state hypothesis did not hold again after recovery.", "See the hypothesis readings after recovery."),
    Reason(
        "KNOWN_BAD_NOT_SEEN",
        "A known-bad control did not fail: the test is blind.",
        "Check that the load reaches the part that is bad, and that the SLOs look at it.",
    ),
    Reason("RPO_MISSED", "More acknowledged writes were lost than promised.", "See the data section: what was lost, and whether before or after the fault."),
    Reason(
        "WRITES_RESURRECTED",
        "Writes that were refused are there all the same.",
        "Look for a retry behind the service, or a status that does not mean refused: `writes.NAME.rejected`.",
    ),
    Reason("WRITES_PHANTOM", "The store holds records of this run that nobody sent.", "Look for a component that makes up or mangles ids."),
    Reason(
        "DETECTION_MISSED",
        "The promised alert did not fire in time.",
        "See the detection row; look at the alert's expression and its `for`, or promise what it can hold.",
    ),
    # the run could not be decided
    Reason(
        "DETECTION_STRADDLES",
        "The objective lies inside the bracket of the time until the alert fired.",
        "Evaluate the rule more often, or leave more room in `detection.within`.",
    ),
    Reason("DETECTION_NOT_OBSERVED", "The observation ended before the alert's time was over.", "Lengthen `windows.recovery`."),
    Reason("ALERT_ALREADY_FIRING", "The alert was firing before the effect, so it says nothing about it.", "Mend what it fires for, and run again."),
    Reason("SOURCE_UNREACHABLE", "A source of measurements beside the load could not be read.", "See its error in the timeline; look at `sli_sources`."),
    Reason(
        "SOURCE_TOO_COARSE",
        "The readings of a source are too far apart to say what happened inside the window.",
        "Scrape more often, or lengthen the window.",
    ),
    Reason(
        "SOURCE_INCOMPLETE",
        "A part of what a source counts vanished or began anew in the window.",
        "Count where every request passes (a proxy, a gateway), or write the counter without a sum.",
    ),
    Reason(
        "SOURCES_DISAGREE",
        "Two sources of one SLO say different things, further apart than its tolerance allows.",
        "See both rows: retries or a cache between the two, traffic of others, or a query that counts something else. Mend it, or state a wider tolerance.",
    ),
    Reason(
        "RPO_UNDECIDED",
        "Whether too much data was lost lies within the uncertainty: of the effect's bracket, or of writes that ended unknown.",
        "Raise the rate of writes, or lengthen the step's timeout so that fewer end unknown.",
    ),
    Reason(
        "READBACK_FAILED",
        "The writes could not be read back with authority after recovery.",
        "See the finding; give `settled.within` more time, or name the nodes that must be readable in `settled.nodes`.",
    ),
    Reason("NO_WRITES_AT_RISK", "Too few writes were acknowledged just before the fault for any to be lost.", "Raise the rate of the journey that writes."),
    Reason(
        "BASELINE_UNHEALTHY",
        "The system did not meet its objectives before anything was injected.",
        "Mend the system, or give it a longer warm-up, and run again.",
    ),
    Reason(
        "GATE_OUT_OF_TOLERANCE",
        "The steady-state hypothesis did not hold before the method; nothing was injected.",
        "See the gate's readings; run again when the system is steady.",
    ),
    Reason(
        "EFFECT_UNPROVEN",
        "The fault was sent, but its effect was never seen from outside.",
        "Check that the platform enforces this kind of fault, and that the targets are the ones in use.",
    ),
    Reason("FAULT_NOT_HELD", "The fault did not stay in force for the time that was planned.", "Look for who took it back: a controller, a person, an expiry."),
    Reason(
        "REMOVAL_UNSEEN", "The fault was taken back, but the targets were not seen to return.", "Look at the targets; `chaosx recover` says what is proven."
    ),
    Reason("REPLACEMENT_UNSEEN", "A killed target was not seen to be replaced.", "Give a longer recovery window, or look at what should have replaced it."),
    Reason("NO_FAULT", "The experiment injected nothing that could be judged.", "Add a fault, or declare the run a control."),
    Reason(
        "UNMANAGED_ACTION",
        "An action has no undo, effect and removal that this tool can vouch for.",
        "Use the action of chaoslib_ext that does the same, or declare it under `faults:`.",
    ),
    Reason("ACTION_FAILED", "An action of the method failed; what it should have done is not proven.", "See the activity's error in the timeline."),
    Reason("PROBE_ERRORED", "A probe could not measure; its silence is not a pass.", "See the activity's error in the timeline."),
    Reason("PROBE_NOT_RUN", "A probe that was planned did not run.", "See the timeline: the method ended early."),
    Reason(
        "TOO_FEW_SAMPLES",
        "Too few requests fell into a window to decide its objective.",
        "Lengthen the window or raise the rate; `chaosx plan` says how many are needed.",
    ),
    Reason("NO_OBJECTIVE", "Nothing was promised, so nothing can be judged.", "Add `objectives`, `rto` or a steady-state hypothesis."),
    Reason("NO_DATA", "No request was measured.", "Check that the load profile reaches the service."),
    Reason("LOAD_NOT_DELIVERED", "Less than 95 % of the intended load was sent.", "Lower the rate, or run the load on a larger machine."),
    Reason("GENERATOR_SATURATED", "The load generator itself was too slow: its requests left late.", "Lower the rate, or run the load on a larger machine."),
    Reason(
        "CLOSED_MODEL",
        "A closed-model locustfile hides outages; its figures cannot pass an objective.",
        "Describe the traffic in `journeys`, or read the figures as lower bounds.",
    ),
    Reason("WORKER_LOST", "The load child died before its time.", "See its last words in the evidence; run again."),
    Reason("PROBER_LOST", "The prober died before its time; effect and removal are not proven.", "See its last words in the evidence; run again."),
    Reason(
        "HELD_SHORTER_THAN_RTO",
        "The fault was taken back before the RTO had passed, so recovery was not the system's own.",
        "Hold the fault for at least the RTO and the stable stretch.",
    ),
    Reason("RTO_STRADDLES", "The objective lies inside the bracket of the measured recovery time.", "Raise the rate so that the bracket becomes narrower."),
    Reason("RECOVERY_NOT_OBSERVED", "The observation ended before recovery could have been seen.", "Lengthen `windows.recovery`."),
    Reason("CLOCK_UNSOUND", "A clock moved while it was measured with.", "Check the time service of the machine; run again."),
    Reason("EVIDENCE_INCOMPLETE", "A part of the evidence is missing or does not match its checksum.", "See the evidence section; run again."),
    Reason("TARGETS_CHANGED", "The targets found at injection were not the ones that were planned.", "Plan again; something else is changing the target."),
    Reason("METHOD_CHILD_DIED", "The process that runs the method died.", "See its last words in the evidence; run again."),
    # not begun
    Reason("LOCK_HELD", "Another run holds the target.", "Wait for it, or end it with `chaosx abort`."),
    Reason("EARLIER_RUN_DIRTY", "An earlier run on this target is not proven healed.", "Run `chaosx recover --all`."),
    Reason(
        "FUSE_MISSING",
        "The environment wants a fuse for everything that is held, and no fuse can be armed.",
        "Use a target that offers one, or take the risk with `--no-fuse` and the confirm word.",
    ),
    Reason("PREFLIGHT_FAILED", "Something that the run needs is missing or does not answer.", "See the message; `chaosx doctor` checks the rest."),
    Reason("CAPS_EXCEEDED", "The plan would hit more than the caps allow.", "Narrow the fault, or raise the cap knowingly."),
    Reason("PROTECTED", "The plan would touch what the environment never lets be touched.", "Choose other targets; only the environment's owner lifts it."),
    Reason(
        "NOT_APPROVED",
        "The environment wants a person's confirmation or a stored approval, and there is none that fits.",
        "Look at `chaosx plan`, then `--confirm` its token, or have it approved with `chaosx approve`.",
    ),
    Reason("BLACKOUT", "The environment is in a blackout window.", "Run outside of it."),
    # stopped
    Reason("STOPPED_BY_SIGNAL", "A signal stopped the run.", "Run again."),
    Reason("STOPPED_BY_PERSON", "A person stopped the run with `chaosx abort`.", "See the decision in the timeline."),
    Reason("STOP_NO_DATA", "A stop rule ended the run: no measurements came any more.", "Look at the load generator and at what it talks to."),
    Reason("STOP_RULE", "A stop rule ended the run.", "See the rule's reading in the timeline."),
    Reason(
        "LEDGER_UNWRITABLE",
        "The undo ledger could not be written, so nothing more was injected.",
        "Look at the disk of the state directory: full, read-only, or failing.",
    ),
    Reason("LOCK_LOST", "The lock of the target was taken away from the run.", "See who holds it; somebody took this run for dead."),
    # the tool, and what is left
    Reason("TOOL_FAILED", "This tool failed.", "Report it, with the run directory."),
    Reason("SUPERVISOR_DIED", "The supervisor died; the healer took everything back.", "See what ended it: memory, a person, the machine."),
    Reason("HEALER_LOST", "The healer died; a new one took everything back and the run was aborted.", "See what ended it: memory, a person, the machine."),
    Reason("UNDO_FAILED", "A fault is not proven healed.", "Run `chaosx recover`; it prints what is left."),
    Reason("UNDO_CONFLICT", "Somebody else changed what the fault had changed; it was left as it is.", "Look at the target, then `chaosx recover --accept`."),
    Reason("ROLLBACK_FAILED", "A rollback of the experiment failed.", "See its error in the timeline; mend the target by hand."),
    Reason("LEDGER_CORRUPT", "The undo ledger cannot be read with certainty.", "Look at the targets it names before any other run."),
]

REASONS: dict[str, Reason] = {reason.code: reason for reason in _LIST}

EXIT_CODES = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3, "ABORTED": 4, "ERROR": 5, "DIRTY": 6}
OUTRANKING = ["DIRTY", "ERROR", "FAIL", "ABORTED", "INCONCLUSIVE", "PASS"]


def worst(verdicts: list[str]) -> str:
    """The verdict that outranks the others; PASS for none."""
    return min(verdicts, key=OUTRANKING.index, default="PASS")
