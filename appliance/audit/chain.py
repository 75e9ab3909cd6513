"""The chain of hashes that makes a change to the audit log visible.

It shows what was changed, removed or put in between. It cannot show the work of somebody who may write
the whole file and computes every hash anew: against that, note the newest hash elsewhere.
"""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from appliance.audit.model import Actor, End, Entry, Head, RecordedEntry

StoredRow = tuple[int, int, bytes, bytes, bytes, bytes, bytes, bytes, bytes]
"""The columns of an entry in the order of its fields, the texts as the bytes that they are."""

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


def followed(last: Head, entries: Iterable[RecordedEntry]) -> tuple[Head, str]:
    """Check entries that come after `last`; gives the last good one and the first fault, empty when there is none."""
    for entry in entries:
        if entry.position != last.position + 1:
            return last, f"entry {last.position + 1} is missing: after {last.position} comes {entry.position}"
        if entry.hash != hash_of(last.hash, entry):
            return last, f"entry {entry.position} was changed"
        last = Head(entry.position, entry.hash)
    return last, ""


def end_fault(last: Head, end: End) -> str:
    """What is wrong with the end of a chain whose last good entry is `last`; empty when nothing is."""
    if last != end.head:
        return f"the log ends with entry {last.position}, expected {end.head.position}: its end was cut off or replaced"
    if end.newest != last.position:
        return f"the log ends with entry {end.newest}, expected {last.position}: entries were put behind its end"
    return ""


def read(row: StoredRow) -> RecordedEntry:
    """An entry from the bytes that are in the file. Raises `UnicodeDecodeError` for what no text ever was."""
    position, recorded_at, *texts = row
    return RecordedEntry(position, recorded_at, *(text.decode() for text in texts))


def followed_rows(last: Head, rows: Sequence[StoredRow]) -> tuple[Head, str]:
    """Check rows of the file that come after `last`, as `followed` does."""
    for row in rows:
        try:
            entry = read(row)
        except UnicodeDecodeError:
            return last, f"entry {row[0]} was changed"
        last, fault = followed(last, [entry])
        if fault:
            return last, fault
    return last, ""
