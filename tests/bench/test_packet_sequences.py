import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.children import BenchError
from bench.packet_sequences import FOLDER, Action, Publication, decode, read, variable_length

WORDS = st.one_of(
    st.integers(0, 2**8 - 1).map(lambda number: (f"i{number}", number.to_bytes(1))),
    st.tuples(st.sampled_from("Hkms"), st.integers(0, 2**16 - 1)).map(
        lambda pair: (f"{pair[0]}{pair[1]}", pair[1].to_bytes(2))
    ),
    st.integers(0, 2**32 - 1).map(lambda number: (f"L{number}", number.to_bytes(4))),
    st.binary(min_size=1, max_size=5).map(lambda data: (data.hex(), data)),
    st.text(st.characters(exclude_characters="'", exclude_categories=["Cs"]), max_size=9).map(
        lambda text: (f"'{text}'", text.encode())
    ),
)


def written(checkout: Path, *groups: dict[str, Any], name: str = "PUBLISH.json") -> Path:
    (checkout / FOLDER).mkdir(parents=True, exist_ok=True)
    (checkout / FOLDER / name).write_text(json.dumps(groups), encoding="utf-8")
    return checkout


@given(st.lists(WORDS))
def test_a_line_stands_for_its_words_one_after_the_other(words: list[tuple[str, bytes]]) -> None:
    assert decode("  ".join(word for word, _ in words)) == b"".join(data for _, data in words)


@given(st.integers(0, 2**35))
def test_a_variable_length_is_read_back_seven_bits_at_a_time(value: int) -> None:
    encoded = variable_length(value)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(encoded)) == value
    assert [byte >> 7 for byte in encoded] == [1] * (len(encoded) - 1) + [0]
    assert encoded == decode(f"r{value}") == decode(f"v{value}")


def test_a_length_that_no_packet_may_have_can_be_written() -> None:
    assert decode("30 r268435456") == bytes.fromhex("30 80 80 80 80 01")


@pytest.mark.parametrize("word", ["zz", "i256", "H-1", "m", "0"])
def test_a_word_that_is_none_is_told(word: str) -> None:
    with pytest.raises(BenchError, match="is not a word"):
        decode(f"30 {word}")


def test_a_test_takes_from_its_group_what_it_does_not_say(tmp_path: Path) -> None:
    send = {"type": "send", "payload": "C0 r0"}
    other = {"type": "external_publish", "topic": "p", "qos": 2, "payload": "message"}
    tests = [
        {"name": "a", "msgs": [send]},
        {"name": "b  c", "ver": 3, "connect": True, "expect_disconnect": False, "msgs": [other]},
    ]
    first, second = read(written(tmp_path, {"group": "g ", "ver": 5, "connect": False, "tests": tests}))
    assert (first.file, first.name) == ("PUBLISH.json", "g : a")
    assert (first.version, first.connects_first, first.ends_closed) == (5, False, True)
    assert [step.data for step in first.steps] == [b"\xc0\0"]
    assert (second.name, second.version, second.connects_first, second.ends_closed) == ("g : b c", 3, True, False)
    assert [(step.action, step.publication) for step in second.steps] == [
        (Action.PUBLISH, Publication("p", "message", 2))
    ]


def test_only_what_is_refused_at_once_leaves_nothing_behind(tmp_path: Path) -> None:
    send, receive = {"type": "send", "payload": "00"}, {"type": "recv", "payload": "00"}
    shapes = [[send], [send, receive], [send, receive, send], [receive], []]
    tests = [{"name": "n", "msgs": shape} for shape in shapes]
    told = [{**tests[0], key: value} for key, value in (("connect", False), ("expect_disconnect", False))]
    sequences = read(written(tmp_path, {"group": "g", "tests": tests + told}))
    assert [sequence.is_refusal for sequence in sequences] == [True, True, False, False, False, False, False]


def test_files_come_in_order_and_disabled_groups_not_at_all(tmp_path: Path) -> None:
    for name, disabled in (("B.json", False), ("C.json", True), ("A.json", False)):
        written(tmp_path, {"group": "g", "disable": disabled, "tests": [{"name": "n", "msgs": []}]}, name=name)
    assert [sequence.file for sequence in read(tmp_path)] == ["A.json", "B.json"]


def test_what_is_no_checkout_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="is it a checkout"):
        read(tmp_path)


def test_a_kind_of_step_that_is_new_is_told_and_not_left_out(tmp_path: Path) -> None:
    step = {"type": "dance", "payload": "00"}
    with pytest.raises(BenchError, match="not known here: dance"):
        read(written(tmp_path, {"group": "g", "tests": [{"name": "n", "msgs": [step]}]}))


def test_a_file_that_is_written_otherwise_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="not written as expected"):
        read(written(tmp_path, {"groups": "g"}))
