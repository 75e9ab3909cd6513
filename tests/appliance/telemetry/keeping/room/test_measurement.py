"""What lies in the data folder and on its disk."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.keeping.plan import DayUse, Present
from appliance.telemetry.keeping.room.measurement import RESERVE_NAME, Measured, sizes
from appliance.telemetry.keeping.room.reserve import Disk

counts = st.integers(0, 10**9)


@given(st.lists(counts, max_size=4), counts, counts, counts, counts)
def test_everything_on_the_disk_is_days_or_beside_them_or_others_or_free(
    days: list[int], beside: int, reserve: int, others: int, free: int
) -> None:
    uses = [DayUse(day, size, 0) for day, size in enumerate(days)]
    total = sum(days) + beside + reserve + others + free
    measured = Measured(uses, {"days": sum(days), "gateway.db": beside}, Disk(free, total, reserve))
    assert measured.day_bytes == sum(days)
    assert measured.beside_bytes == beside + reserve
    assert measured.used_bytes == measured.day_bytes + measured.beside_bytes
    assert measured.others_bytes == others
    # Of days that are numbered from 0, one is not over yet.
    today = Present(2, 2)
    assert measured.movable_bytes(today) == sum(days[:2])
    assert measured.staying_bytes(today) == sum(days[2:]) + beside + reserve


def test_a_folder_is_measured_by_first_names_a_database_with_its_companions(tmp_path: Path) -> None:
    assert sizes(tmp_path) == {"gateway.db": 0, "rollups": 0, "days": 0, "journal": 0}
    (tmp_path / "pki" / "keys").mkdir(parents=True)
    for name in ("gateway.db", "gateway.db-wal", "pki/root.pem", "pki/keys/one.pem", RESERVE_NAME):
        (tmp_path / name).write_bytes(bytes(5_000))
    block = (tmp_path / "gateway.db").stat().st_blocks * 512
    assert block >= 5_000
    assert sizes(tmp_path) == {"gateway.db": 2 * block, "rollups": 0, "days": 0, "journal": 0, "pki": 2 * block}
