"""Any bytes as the start of a connection: `read_client_hello`, of the whole and of what comes first of it.

Run long as `python -m tests.fuzz.client_hello --minutes 10`.
"""

import sys

from broker.client_hello import ClientHello, Foreign, Incomplete, read_client_hello
from tests.fuzz import mutation
from tests.fuzz.search import Target, main

_LARGEST_BYTES = 2_000


def check(data: bytes) -> None:
    """Whatever comes is judged, and never otherwise once more of it has come."""
    step = max(1, len(data) // 24)
    before: ClientHello | Foreign | Incomplete = Incomplete(1)
    for end in (*range(1, len(data), step), len(data)):
        found = read_client_hello(data[:end], _LARGEST_BYTES)
        if isinstance(before, Incomplete):
            _check_after_incomplete(before, found, end)
        elif isinstance(before, ClientHello):
            assert found == before
        else:
            assert isinstance(found, Foreign)
        before = found


def _check_after_incomplete(before: Incomplete, found: ClientHello | Foreign | Incomplete, end: int) -> None:
    """With fewer bytes than were needed there is no hello; what is needed is more than there is."""
    if isinstance(found, ClientHello):
        assert before.needed_bytes <= found.size <= end <= max(end, _LARGEST_BYTES)
    elif isinstance(found, Incomplete):
        assert end < found.needed_bytes <= _LARGEST_BYTES
        assert found.needed_bytes >= before.needed_bytes or end >= before.needed_bytes


TARGET = Target("client_hello", check, mutation.of_bytes)

if __name__ == "__main__":
    sys.exit(main(TARGET))
