"""Finds the device that has a key.

The database knows certificates by their own fingerprint. Who needs to know keys, seldom, has them read out here the
first time, and afterwards those that were issued since: 40 bytes of memory for each certificate.
"""

import asyncio
from collections.abc import Sequence

from appliance.registry import self_made
from appliance.registry.holders import queries
from appliance.registry.holders.model import Holder, KeyedCertificate
from appliance.store.database import Database

PIECE = 500
"""So few that nobody else waits for long."""


class Holders:
    """The devices by their keys."""

    def __init__(self, database: Database, piece: int = PIECE) -> None:
        """Keep the arguments; `piece` is how many certificates are read at a time."""
        self._database = database
        self._piece = piece
        self._numbers: dict[tuple[int, bytes], int] = {}
        self._last_number = 0
        self._reading = asyncio.Lock()

    async def holder(self, tenant_id: int, key_fingerprint: str) -> Holder | None:
        """The device that this key was certified for, last; None when it is nobody's.

        `key_fingerprint` is the SHA-256 of the public key (SubjectPublicKeyInfo), hexadecimal.
        """
        async with self._reading:
            while await self._read_on():
                pass
        number = self._numbers.get((tenant_id, bytes.fromhex(key_fingerprint)))
        found = [] if number is None else await self._database.read(queries.select_holder(tenant_id, number))
        return found[0] if found else None

    async def _read_on(self) -> bool:
        """Read the next certificates; whether there may be more."""
        piece = await self._database.read(queries.select_certificates_after(self._last_number, self._piece))
        if piece:
            self._numbers.update(await asyncio.to_thread(_keys, piece))
            self._last_number = piece[-1].certificate_number
        return len(piece) == self._piece


def _keys(piece: Sequence[KeyedCertificate]) -> dict[tuple[int, bytes], int]:
    return {(one.tenant_id, bytes.fromhex(self_made.key_fingerprint(one.pem))): one.certificate_number for one in piece}
