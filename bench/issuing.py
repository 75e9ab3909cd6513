"""How fast the device CA issues: for keys that devices made, with keys made here, and all the way to the disk."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.lifetime import wall_clock
from appliance.registry import authority, crl, issue, pki
from appliance.registry.model import DEFAULT_TENANT, Certificate, NewDevice
from appliance.registry.pki import Pki
from appliance.registry.service import Registry
from appliance.store import database as store
from appliance.store.migrate import migrate
from bench.numbers import median, table

TARGET_A_SECOND = 2_000
REVOKED_COUNT = 10_000
ROUNDS = 3


def measure(folder: Path, *, quick: bool) -> str:
    """Issue in one thread, then through the registry into the database; gives the table. `quick` is a short round."""
    count, rounds = (200, 1) if quick else (4_000, ROUNDS)
    keys = pki.opened(folder / "pki", "bench", wall_clock())
    device_ids = [f"bench-{number:05d}" for number in range(count)]
    given = authority.make_key().public_key()
    now = wall_clock()
    for_given = _rate(lambda: _issue_for(keys, device_ids, given, now), count, rounds)
    with_made = _rate(lambda: issue.issue(keys, device_ids, now), count, rounds)
    to_disk = asyncio.run(_written(folder, device_ids))
    revoked = REVOKED_COUNT // 20 if quick else REVOKED_COUNT
    listed_ms = _list_ms(keys, revoked, now)
    rows = [
        ("certificates a second, key given", f"{for_given:,.0f}", f"at least {TARGET_A_SECOND:,}", _met(for_given)),
        ("certificates a second, key made too", f"{with_made:,.0f}", f"at least {TARGET_A_SECOND:,}", _met(with_made)),
        ("devices a second, registered, issued, audited, on disk", f"{to_disk:,.0f}", "", ""),
        (f"revocation list of {revoked:,}, ms", f"{listed_ms:,.0f}", "", ""),
    ]
    title = f"{count:,} certificates in one thread, median of {rounds} rounds"
    return f"{title}\n\n{table(('what', 'Headworks', 'target', 'met'), rows)}"


def _issue_for(keys: Pki, device_ids: Sequence[str], key: authority.DeviceKey, now: int) -> None:
    for device_id in device_ids:
        authority.certificate_pem(authority.issue_device(keys.issuing, device_id, key, now))


def _rate(work: Callable[[], object], count: int, rounds: int) -> float:
    """How many a second, in processor time: the machine may do other things meanwhile."""
    rates = []
    for _ in range(rounds):
        began = time.thread_time()
        work()
        rates.append(count / (time.thread_time() - began))
    return median(rates)


async def _written(folder: Path, device_ids: Sequence[str]) -> float:
    """Devices a second on the wall clock, from their names to the commit."""
    async with (
        store.opened(folder / "gateway.db", prepare=migrate) as database,
        Registry(database, folder / "registry-pki", wall_clock).opened() as registry,
    ):
        began = time.perf_counter()
        await registry.issue_many(DEFAULT_TENANT, [NewDevice(device_id) for device_id in device_ids])
        return len(device_ids) / (time.perf_counter() - began)


def _list_ms(keys: Pki, count: int, now: int) -> float:
    revoked = [Certificate(f"{number:064x}", f"{2**158 + number:x}", now, now + 1, now) for number in range(count)]
    began = time.thread_time()
    crl.make(keys.issuing, revoked, now)
    return 1_000 * (time.thread_time() - began)


def _met(rate: float) -> str:
    return "yes" if rate >= TARGET_A_SECOND else "NO"
