"""Each version of a file of roll-ups adds to the one before."""

import contextlib
import sqlite3

import pytest

from appliance.telemetry.rollups import schema
from appliance.telemetry.rollups.model import DamagedRollUpsError


def test_the_steps_follow_each_other_and_the_last_one_is_the_version() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        tables: list[set[str]] = []
        for step in schema.STEPS:
            connection.executescript(step)
            tables.append({name for (name,) in connection.execute("SELECT name FROM pragma_table_list")})
    assert len(tables) == schema.VERSION
    assert {"device", "hour", "day", "progress"} <= tables[0]
    assert tables[1] - tables[0] == {"packed"}


def test_a_value_that_no_table_lets_in_is_damage() -> None:
    schema.require_kind(bytes, [b"", b"x"])
    schema.require_kind(int, [])
    with pytest.raises(DamagedRollUpsError, match="lacks a value"):
        schema.require_kind(bytes, [b"", None])
