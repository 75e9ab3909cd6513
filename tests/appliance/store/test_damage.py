"""A damaged database is told in a sentence, whatever it ended; what else goes wrong stays as it is."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from appliance.errors import ApplianceError
from appliance.store.damage import DamagedDatabaseError, damage_of, damage_told


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE device (name TEXT UNIQUE)")
        connection.executemany("INSERT INTO device VALUES (?)", [(f"pump {number:04}",) for number in range(2_000)])
        connection.commit()
    return path


def pages(path: Path) -> range:
    return range(path.stat().st_size // 4_096)


def test_every_page_of_noise_is_found(path: Path) -> None:
    whole = path.read_bytes()
    assert damage_of(path) == ""
    for page in pages(path):
        path.write_bytes(whole[: page * 4_096] + b"\xa5" * 4_096 + whole[(page + 1) * 4_096 :])
        assert damage_of(path), page


def test_where_there_is_no_file_nothing_is_damaged(tmp_path: Path) -> None:
    assert damage_of(tmp_path / "none.db") == ""


@pytest.mark.parametrize("cause", [TypeError("a row lacks a value"), sqlite3.DatabaseError("malformed")])
@pytest.mark.parametrize("is_in_group", [False, True])
def test_whatever_a_damaged_file_ended_with_people_are_told_what_to_do(
    path: Path, cause: Exception, is_in_group: bool
) -> None:
    path.write_bytes(path.read_bytes()[:4_096] + b"\xff" * (len(pages(path)) - 1) * 4_096)
    with pytest.raises(DamagedDatabaseError) as told, damage_told(path):
        raise ExceptionGroup("parts", [cause]) if is_in_group else cause
    said = str(told.value)
    assert said.startswith(f"{path} is damaged (")
    assert "backup" in said
    assert f"{path.parent}/days" in said
    assert "\n" not in said


def caused(outer: Exception, cause: Exception | None) -> Exception:
    outer.__cause__ = cause
    return outer


def changed(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


UNDECODED = UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid continuation byte")


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (TypeError("a defect"), False),
        (ExceptionGroup("parts", [TypeError("a defect"), ApplianceError("no")]), False),
        (ExceptionGroup("parts", [TypeError("a defect"), caused(ApplianceError("no"), sqlite3.Error("full"))]), False),
        (sqlite3.DatabaseError("malformed"), True),
        (ExceptionGroup("parts", [caused(TypeError("a row"), UNDECODED)]), True),
        (msgspec.ValidationError("expected int"), True),
    ],
)
def test_all_of_the_file_is_looked_at_only_where_what_was_read_ended_something(
    path: Path, error: Exception, is_told: bool
) -> None:
    # An index lacks a row: only who compares all of it with its table finds that.
    indexed = "CREATE INDEX device_by_name ON device (name)"
    changed(path, indexed)
    changed(
        path,
        "PRAGMA writable_schema = ON",
        f"UPDATE sqlite_schema SET sql = '{indexed} WHERE 0' WHERE sql LIKE '% INDEX %'",
    )
    changed(path, "INSERT INTO device VALUES ('a pump more')")
    changed(
        path, "PRAGMA writable_schema = ON", f"UPDATE sqlite_schema SET sql = '{indexed}' WHERE sql LIKE '% INDEX %'"
    )
    with pytest.raises(DamagedDatabaseError if is_told else type(error)), damage_told(path):
        raise error


def test_where_nothing_points_to_the_file_it_is_looked_at_for_so_long_only(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4_096] + b"\xa5" * 4_096)
    assert damage_of(path, patience_s=60)
    assert damage_of(path, patience_s=0) == ""
    with pytest.raises(TypeError), damage_told(path, patience_s=0):
        raise TypeError("a defect")


def test_a_defect_beside_a_whole_file_stays_one(path: Path) -> None:
    with pytest.raises(TypeError), damage_told(path):
        raise TypeError("a defect")


@pytest.mark.parametrize("refusal", [ApplianceError("no"), ExceptionGroup("parts", [ApplianceError("no")])])
def test_what_was_told_in_a_sentence_is_not_looked_into(path: Path, refusal: Exception) -> None:
    path.write_bytes(b"nothing of a database")
    with pytest.raises(type(refusal)) as told, damage_told(path):
        raise refusal
    assert told.value is refusal
