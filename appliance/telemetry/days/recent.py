"""What was seen in chunks lately, for the next question: who looks at a chart looks at it again, a little later.

A chunk never changes, and it is known by all of its bytes: whatever becomes of its file, nothing here is out of date.
"""

from collections.abc import Collection
from threading import Lock

from appliance.telemetry.glance import Glance

_Seen = tuple[bytes, frozenset[str]]


class RecentGlances:
    """Glances at chunks, those that were asked for lately. Several threads may ask at once."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._byte_count = 0
        self._found: dict[_Seen, Glance] = {}
        """Those that were asked for last at the end."""
        self._lock = Lock()

    def look(self, blob: bytes, metrics: Collection[str]) -> Glance:
        """Some metrics of a chunk. Nobody changes what is in it. Raises `ChunkError` when the chunk was damaged."""
        key = blob, frozenset(metrics)
        with self._lock:
            known = self._found.pop(key, None)
            if known is not None:
                self._found[key] = known
                return known
        seen = Glance(blob, metrics)
        with self._lock:
            if key not in self._found:
                self._found[key] = seen
                self._byte_count += seen.byte_count
            while self._byte_count > self._limit_bytes:
                oldest = next(iter(self._found))
                self._byte_count -= self._found.pop(oldest).byte_count
        return seen

    def forget(self) -> None:
        """Keep nothing of what was seen: some of it may have to be erased."""
        with self._lock:
            self._found.clear()
            self._byte_count = 0
