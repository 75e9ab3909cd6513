"""The changes of shadows, packed inside a transaction, and the oldest of a shadow that has too many of them.

Rules:
- What is packed says the same as before: nothing is merged and nothing left out.
- Changes that cannot be read, or between which some are missing, stay as they are.
- A shadow is packed once in so many of its versions, each at another one: a fleet that reports in step is not packed
  all at once.
- Where the changes of all shadows leave little room, those of the shadows that change most go first.
"""

import contextlib
import logging
import sqlite3

from appliance.plane_settings import ShadowsConfig
from appliance.shadows import pack, queries
from appliance.shadows.history import Body
from appliance.shadows.pack import Label, Loose, StoredChange, UnreadableError
from appliance.shadows.ruling import Standing

log = logging.getLogger(__name__)

PACKED_EVERY = 32
"""Versions of a shadow after which its changes are packed."""
PIECE_CHANGES = 64
"""Changes of a piece at most."""
PIECES_AT_ONCE = 8
"""Of a shadow; of a burst that comes to more, what is older stays as it is."""
DROPPED_AT_ONCE = 8
"""Pieces of a shadow that go when one comes."""
TIGHT = 0.8
"""Of the room of all changes: beyond it, no shadow that changes keeps more than its share."""
SHARED = 0.5
"""Of the same room, what all shadows share then: what is not packed yet takes room, too."""


class Packing:
    """Packs the changes of shadows in one transaction."""

    def __init__(self, connection: sqlite3.Connection, config: ShadowsConfig) -> None:
        self._connection = connection
        self._config = config

    @property
    def is_on(self) -> bool:
        """Whether so many changes are kept that it is worth it."""
        return self._config.history_changes > PIECE_CHANGES + PACKED_EVERY

    def is_due(self, number: int, first: int, last: int) -> bool:
        """Whether a shadow is to be packed that has had these versions since it was looked at."""
        return self.is_on and (first - 1 + number) // PACKED_EVERY != (last + number) // PACKED_EVERY

    def pack(self, tenant_id: int, number: int, standing: Standing) -> int:
        """Pack what is not yet, and forget what is too much; gives how many bytes more there are, mostly less."""
        last = queries.select_newest_piece(self._connection, tenant_id, number)
        odometer = 0
        if last is not None:
            # After one that is damaged it begins anew: what was before counts as nothing until the new ones outgrow it.
            with contextlib.suppress(UnreadableError):
                odometer = pack.label(last).odometer
        grown = 0
        for loose, text in reversed(self._pieces(tenant_id, number, 0 if last is None else last.version, standing)):
            odometer += len(text)
            label = pack.labelled(Label(loose.newest_version, loose.newest_at, len(text), odometer))
            # Its place among all changes is that of its oldest.
            piece = StoredChange(loose.oldest_version, loose.oldest_at, "", pack.PACKED, label, text)
            through = loose.newest_version
            grown += queries.update_to_piece(self._connection, tenant_id, number, piece, through) - loose.byte_count
        return grown - self._dropped(tenant_id, number, odometer, standing.version)

    def _pieces(self, tenant_id: int, number: int, after_version: int, standing: Standing) -> list[tuple[Loose, str]]:
        """What is not packed yet, packed, the newest piece first."""
        pieces: list[tuple[Loose, str]] = []
        body, through = _body(standing), standing.version
        while len(pieces) < PIECES_AT_ONCE:
            between = (after_version, through)
            loose = queries.select_loose(self._connection, tenant_id, number, between, PIECE_CHANGES)
            if loose is None:
                break
            try:
                changes = pack.unlisted(loose, through)
            except UnreadableError as error:
                # Nobody's request waits for that, and a piece would take with it what can be read one by one.
                log.warning("older changes of a shadow not packed tenant_id=%s error=%s", tenant_id, error)
                break
            pieces.append((loose, pack.packed(loose.listed, body)))
            if loose.count < PIECE_CHANGES:
                break
            body = pack.undone(changes, body)
            through = loose.oldest_version - 1
        return pieces

    def _dropped(self, tenant_id: int, number: int, odometer: int, version: int) -> int:
        """Forget the oldest pieces of a shadow that has more than it may; gives how many bytes they took."""
        most = self._most_bytes(tenant_id)
        last = None
        for one in queries.select_oldest_pieces(self._connection, tenant_id, number, DROPPED_AT_ONCE):
            try:
                label = pack.label(one)
            except UnreadableError:
                break
            # The newest piece stays whatever it takes.
            is_newest = label.odometer == odometer
            is_old = label.newest_version <= version - self._config.history_changes
            if is_newest or not (is_old or odometer - label.odometer + label.byte_count > most):
                break
            last = one.version
        if last is None:
            return 0
        return queries.delete_old_changes(self._connection, tenant_id, number, last)

    def _most_bytes(self, tenant_id: int) -> int:
        """What the pieces of a shadow may take."""
        most, of_all = self._config.history_kb * 1_000, self._config.history_mb * 1_000_000
        shadow_count, byte_count = queries.select_totals(self._connection, tenant_id)
        return min(most, int(SHARED * of_all) // max(shadow_count, 1)) if byte_count > TIGHT * of_all else most


def _body(standing: Standing) -> Body:
    kept = standing.document
    return Body({}, {}, is_there=False) if kept is None else Body(kept.state, kept.metadata, is_there=True)
