"""The chain of hashes that makes a change to the audit log visible.

It shows what was changed, removed or put in between. It cannot show the work of somebody who may write
the whole file and computes every hash anew: against that, note the newest hash elsewhere.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from appliance.audit.model import Actor, Entry, Head, RecordedEntry, Verdict

START = Head(0, "0" * 64)
"""The end of a chain without entries."""


def appended(head: Head, entry: Entry, actor: Actor, now: int) -> RecordedEntry:
    """The entry as the next one of a chain."""
    details = msgspec.json.encode(dict(entry.details), order="sorted").decode()
    unhashed = RecordedEntry(
        head.position + 1, now, actor.name, actor.address, entry.action, entry.subject, entry.result, details, ""
    )
    return msgspec.structs.replace(unhashed, hash=hash_of(head.hash, unhashed))


def hash_of(previous_hash: str, entry: RecordedEntry) -> str:
    """SHA-256 over the hash before it and the entry as a JSON array, so that no two entries look the same."""
    values = [previous_hash, *msgspec.structs.astuple(entry)[:-1]]
    return hashlib.sha256(msgspec.json.encode(values)).hexdigest()


def judged(tenant_id: int, entries: Iterable[RecordedEntry], head: Head) -> Verdict:
    """Check a chain from its first entry to its end; tells the first fault."""
    last = START
    for entry in entries:
        if entry.position != last.position + 1:
            fault = f"entry {last.position + 1} is missing: after {last.position} comes {entry.position}"
            return Verdict(tenant_id, last.position, last.hash, fault)
        if entry.hash != hash_of(last.hash, entry):
            return Verdict(tenant_id, last.position, last.hash, f"entry {entry.position} was changed")
        last = Head(entry.position, entry.hash)
    fault = ""
    if last != head:
        fault = f"the log ends with entry {last.position}, expected {head.position}: its end was cut off or replaced"
    return Verdict(tenant_id, last.position, last.hash, fault)
