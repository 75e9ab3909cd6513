"""What was seen in chunks lately, for the next question: who looks at a chart looks at it again, a little later.

A chunk never changes, and it is known by all of its bytes: whatever becomes of its file, nothing here is out of date.
"""

from collections.abc import Collection

from appliance.telemetry.glance import Glance


class RecentGlances:
    """Glances at chunks, those that were asked for lately, in two halves: a full one takes the place of the older one.

    Several threads may ask at once. Each step of theirs leaves something that is good; two at the same moment may lose
    something that was seen, and it is seen again.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._half_bytes = limit_bytes // 2
        self._byte_count = 0
        """Of the younger half."""
        self._younger: dict[tuple[bytes, frozenset[str]], Glance] = {}
        self._older: dict[tuple[bytes, frozenset[str]], Glance] = {}

    def look(self, blob: bytes, metrics: Collection[str]) -> Glance:
        """Some metrics of a chunk. Nobody changes what is in it. Raises `ChunkError` when the chunk was damaged."""
        key = blob, frozenset(metrics)
        known = self._younger.get(key)
        if known is not None:
            return known
        seen = self._older.get(key) or Glance(blob, metrics)
        if seen.byte_count <= self._half_bytes:
            if self._byte_count + seen.byte_count > self._half_bytes:
                self._older, self._younger, self._byte_count = self._younger, {}, 0
            self._younger[key] = seen
            self._byte_count += seen.byte_count
        return seen

    def forget(self) -> None:
        """Keep nothing of what was seen: some of it may have to be erased."""
        self._older, self._younger, self._byte_count = {}, {}, 0
