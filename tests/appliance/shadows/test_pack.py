import base64
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from appliance.shadows import pack
from appliance.shadows.history import Body, Kept
from appliance.shadows.pack import Label, Loose, StoredChange, UnreadableError
from tests.appliance.shadows.test_history import STEPS, body_of, lived

LARGE_BYTES = 262_144


def stored_of(kept: Kept) -> list[StoredChange]:
    """Its changes as rows."""
    return [
        StoredChange(
            one.version,
            one.at,
            one.author,
            one.kind.value,
            json.dumps(one.patch),
            json.dumps(
                {
                    "state": one.way_back.state,
                    "metadata": one.way_back.metadata,
                    "is_there": one.way_back.is_there,
                }
            ),
        )
        for one in kept.changes
    ]


def listed(rows: list[StoredChange]) -> bytes:
    """As SQLite lists them."""
    told = [
        f"[{one.version},{one.at},{json.dumps(one.author)},{json.dumps(one.kind)},{one.patch},{one.way_back}]"
        for one in rows
    ]
    return f"[{','.join(told)}]".encode()


def loose_of(rows: list[StoredChange]) -> Loose:
    """As they are before they are packed."""
    newest, oldest = rows[0], rows[-1]
    return Loose(len(rows), oldest.version, newest.version, oldest.at, newest.at, 0, listed(rows))


def piece_of(kept: Kept) -> StoredChange:
    rows = stored_of(kept)
    text = pack.packed(listed(rows), kept.body)
    label = Label(kept.version, kept.updated_at, len(text), len(text))
    return StoredChange(rows[-1].version, rows[-1].at, "", pack.PACKED, pack.labelled(label), text)


@given(STEPS)
def test_what_is_unpacked_is_what_was_packed(steps: list[object]) -> None:
    kept, _ = lived(steps)  # type: ignore[arg-type]
    if not kept.changes:
        return
    piece = piece_of(kept)
    assert pack.changes(piece) == list(kept.changes)
    assert pack.kept(1, piece) == kept
    assert [change for row in stored_of(kept) for change in pack.changes(row)] == list(kept.changes)


@given(STEPS)
def test_before_its_changes_a_shadow_was_what_it_was(steps: list[object]) -> None:
    kept, was = lived(steps)  # type: ignore[arg-type]
    rows = stored_of(kept)
    assert pack.undone([], kept.body) == kept.body
    for count in range(1, len(rows) + 1):
        changes = pack.unlisted(loose_of(rows[:count]), kept.version)
        assert changes == kept.changes[:count]
        assert pack.undone(changes, kept.body) == body_of(was[len(rows) - count])


def test_changes_that_are_damaged_or_do_not_follow_each_other_are_not_read() -> None:
    rows = stored_of(lived([({"desired": {"a": n}}, 5) for n in range(4)])[0])
    whole = loose_of(rows)
    assert len(pack.unlisted(whole, 4)) == 4
    for damaged, newest_version in (
        (structs.replace(whole, listed=b"[[]]"), 4),
        (structs.replace(whole, listed=whole.listed.replace(b'"pump"', b'"p\xf5mp"').replace(b"device", b"d\xe5")), 4),
        (structs.replace(whole, listed=whole.listed.replace(b'"a": 3', b'"a": 1e999')), 4),
        (structs.replace(whole, count=3), 4),
        (loose_of([rows[0], *rows[2:]]), 4),
        (whole, 5),
    ):
        with pytest.raises(UnreadableError):
            pack.unlisted(damaged, newest_version)


@given(STEPS, st.data())
def test_what_is_found_readable_can_be_read_as_a_piece(steps: list[object], data: st.DataObject) -> None:
    kept, _ = lived(steps)  # type: ignore[arg-type]
    if not kept.changes:
        return
    loose = loose_of(stored_of(kept))
    place = data.draw(st.integers(0, len(loose.listed) - 1))
    damaged = bytearray(loose.listed)
    damaged[place] = data.draw(st.integers(0, 255))
    loose = structs.replace(loose, listed=bytes(damaged))
    try:
        changes = pack.unlisted(loose, kept.version)
    except UnreadableError:
        return
    stored = StoredChange(1, kept.updated_at, "", pack.PACKED, "", pack.packed(loose.listed, kept.body))
    assert pack.changes(stored) == changes


def test_a_piece_that_was_made_over_a_gap_ends_there() -> None:
    kept, _ = lived([({"desired": {"a": n}}, 5) for n in range(6)])
    gappy = structs.replace(kept, changes=[*kept.changes[:2], *kept.changes[3:]])
    assert [one.version for one in pack.kept(1, piece_of(gappy)).changes] == [6, 5]


def test_a_row_whose_bytes_are_no_text_is_damaged() -> None:
    told = (b"device pump", b"updated", b"{}", b"{}")
    assert pack.stored(3, 7, *told) == StoredChange(3, 7, "device pump", "updated", "{}", "{}")
    for place in range(len(told)):
        columns = list(told)
        columns[place] = b"\xe1"
        row = pack.stored(3, 7, *columns)
        assert not row.is_packed
        for read in (pack.changes, pack.label):
            with pytest.raises(UnreadableError):
                read(row)


def test_a_label_is_read_as_it_was_written() -> None:
    label = Label(96, 1_800_000_000_000, 3_000, 17_000)
    stored = StoredChange(65, 1, "", pack.PACKED, pack.labelled(label), "")
    assert (pack.label(stored), stored.is_packed) == (label, True)
    assert not StoredChange(65, 1, "", "updated", "{}", "").is_packed


def test_what_is_damaged_is_said_to_be() -> None:
    kept, _ = lived([({"desired": {"a": 1}}, 0), ({"desired": {"a": 2}}, 5)])
    piece, [row, _] = piece_of(kept), stored_of(kept)
    for damaged in (
        structs.replace(piece, way_back=piece.way_back[:-8]),
        structs.replace(piece, way_back="ä"),
        structs.replace(piece, way_back=base64.b64encode(zlib.compress(b"{}")).decode()),
        structs.replace(row, patch="["),
        structs.replace(row, kind="unheard of"),
    ):
        with pytest.raises(UnreadableError):
            pack.changes(damaged)
    with pytest.raises(UnreadableError):
        pack.kept(1, structs.replace(piece, patch="{}"))


def test_what_is_large_is_packed_too() -> None:
    [row] = stored_of(lived([({"desired": {"a": 1}}, 0)])[0])
    large = json.dumps({"desired": {"a": "x" * LARGE_BYTES}})
    changed = StoredChange(1, row.at, "user maria", "updated", large, row.way_back)
    text = pack.packed(listed([changed]), Body({}, {}, is_there=True))
    assert len(text) < LARGE_BYTES // 2
    stored = StoredChange(1, row.at, "", pack.PACKED, "", text)
    assert pack.changes(stored)[0].patch == json.loads(large)
