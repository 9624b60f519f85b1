"""
Notes every write that this load child sends, and how it ended, in `writes/acks-wN.bin`.

What durability that gives: a write is in the kernel's hands before its first byte is sent, and its end before its sample is
counted, so both outlive the death of this process and of the supervisor. They do not outlive the machine before `close`
syncs them; nor does the run: what is judged later is an unsealed directory, which is never a PASS. A sync for each
acknowledgement would stall every request in flight.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaoslib_ext.errors import UsageError
from chaoslib_ext.load.rowfiles import BlockFile
from chaoslib_ext.load.spec import LoadSpec
from chaoslib_ext.loadprofile import LoadProfile
from chaoslib_ext.timeline import Outcome
from chaoslib_ext.writelog import ACKS_MAGIC, FAIL, INFO, OK, lines, write_id
from chaoslib_ext.writeplan import WriteLedger


@dataclass(slots=True)
class Write:
    """One write on its way. `status` is that of its answer once it was read to its last byte, 0 until then."""

    id: str
    ledger: str
    sent_us: int
    status: int = 0


class WriteLog:
    """The writes of one worker. A disk that refuses a line ends the process, as with rows: nothing is lost in silence."""

    def __init__(self, spec: LoadSpec, ledgers: dict[str, WriteLedger]) -> None:
        folder = spec.out_dir.parent.parent / "writes"
        folder.mkdir(parents=True, exist_ok=True)
        self._file = BlockFile(folder / f"acks-{spec.out_dir.name}.bin", ACKS_MAGIC)
        self._ledgers, self._t0_ns = ledgers, spec.t0_ns
        self._run, self._worker = spec.run, spec.out_dir.name.removeprefix("w")
        self._given_out = self._attempted = self._ok = self._fail = 0
        self._most = spec.max_writes

    def next_id(self) -> str | None:
        """An id that no other write of this run has, nor ever gets; None when the run may make no more."""
        if self._most is not None and self._given_out >= self._most:
            return None
        self._given_out += 1
        return write_id(self._run, self._worker, self._given_out)

    def sent(self, id_: str, ledger: str, sent_ns: int) -> Write:
        """Notes a write that is about to be sent; from here on it may have happened."""
        write = Write(id_, ledger, self._us(sent_ns))
        self._attempted += 1
        self._file.append(lines({"ledger": ledger, "id": id_, "t_send_us": write.sent_us}))
        return write

    def ended(self, write: Write, outcome: Outcome, end_ns: int) -> str:
        """Notes how a write ended; the word that was noted."""
        word = outcome_of_write(self._ledgers[write.ledger], write.status, outcome)
        self._ok += word == OK
        self._fail += word == FAIL
        self._file.append(lines({"id": write.id, "t_send_us": write.sent_us, "t_done_us": max(self._us(end_ns), write.sent_us), "outcome": word}))
        return word

    def close(self) -> None:
        """Writes the last line, which vouches for all others, and puts everything on disk."""
        self._file.append(lines({"closed": True, "attempted": self._attempted, "ok": self._ok, "fail": self._fail}))
        self._file.close()

    def _us(self, t_ns: int) -> int:
        return (t_ns - self._t0_ns) // 1000


def write_log(spec: LoadSpec, profile: LoadProfile) -> WriteLog | None:
    """The log for a profile that has ledgers, else None. Raises UsageError for a spec without the run's id."""
    if not profile.writes:
        return None
    if not spec.run:
        raise UsageError("got a load spec without `run`, expected the run's id: its writes could not be told from others'. Nothing was sent")
    return WriteLog(spec, profile.writes)


def outcome_of_write(ledger: WriteLedger, status: int, outcome: Outcome) -> str:
    """
    `ok`, `fail` or `info` for a write that was sent.

    `status` is 0 where no answer was read to its end. Certain is only what the ledger's rule says of an answer, and that
    a connection which never stood carried nothing; a timeout, a reset and a server's error may each hide a write that happened.
    """
    if status in ledger.acknowledged:
        return OK
    if status in ledger.rejected or (status == 0 and outcome is Outcome.CONNECT):
        return FAIL
    return INFO
