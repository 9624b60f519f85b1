"""The way back from a fault in an Envoy's routes: one attempt, which takes out only what carries our mark, and reads again."""

from __future__ import annotations

from chaoslib_ext.errors import FaultFailed
from chaoslib_ext.ledger import Entry, Step
from chaoslib_ext.mesh import client
from chaoslib_ext.mesh.client import Envoy
from chaoslib_ext.mesh.routes import Document, faults_there, table_of, without_fault
from chaoslib_ext.process.client import control

CALL_S = 2.0  # one question to the keeper; on one machine it takes a millisecond


def strip_fault(entry: Entry) -> Step:
    """
    Takes our fault out of the file of routes; proven by the version that the Envoy says it uses.

    Where the Envoy uses no version that we know (somebody's later edit is rejected), by the routes that it has. Undoing
    twice, or undoing what never happened, writes nothing.
    """
    owner, envoy = str(entry.ours["owner"]), Envoy(entry.ours["admin"], entry.ours["config"])
    try:
        document, _ = client.edit(envoy, lambda found: without_fault(found, owner))
        if not _in_use(envoy, document) and owner in client.owners_in_force(envoy):
            return Step("RETRY", "taken out of the file, but this Envoy does not use the file as it is now")
        document = client.read(envoy)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        return _ended(entry, error)
    except FaultFailed as error:
        return Step("RETRY", str(error))  # the file is unreadable: whether our part is in it cannot be told
    if without_fault(document, owner) is not None:
        return Step("RETRY", "somebody has put it back into the file meanwhile")
    others = faults_there(document, entry.ours["routes"])
    return Step("CONFLICT", f"a fault of {', '.join(others)} is there now") if others else Step("UNDONE")


def _in_use(envoy: Envoy, document: Document) -> bool:
    rejected = client.running(envoy, str(table_of(document)["name"])).rejected
    try:
        return client.acknowledged(envoy, document, rejected)
    except TimeoutError:
        return False


def _ended(entry: Entry, error: OSError) -> Step:
    """The file or the Envoy is not there: for ever, when the keeper is gone too; else it comes back, and is then looked at again."""
    try:
        same = control(entry.ours["keeper"], {"op": "status"}, CALL_S).get("identity") == entry.target.identity
    except (FileNotFoundError, ConnectionRefusedError):
        same = False
    except (OSError, FaultFailed):
        same = True
    return Step("RETRY", str(error)) if same else Step("GONE", f"nobody answers there any more ({error})")
