import pytest

from appliance.ingestion.importing.alike import Alike

HEADING = b'\xef\xbb\xbf" Time ";metric;value;device_id\n'


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        (b"5;x;1;a\n", b"5;y;2;a\n", True),
        (b"5;x;1;a\n", b"6;x;1;a\n", False),
        (b"5;x;1;a\n", b"5;x;1;b\n", False),
        (b'5;"x;\n6";1;a\n', b'"5";y;2;"a"\r\n', True),
        (b"5;x\n", b"5;x;1;\n", True),
        (b"\n", b"5\n", False),
        (b"\xff;x;1;a\n", b"\xff;y;1;a\n", True),
    ],
)
def test_rows_are_of_one_moment_by_device_and_time(one: bytes, other: bytes, is_one: bool) -> None:
    assert Alike(HEADING).is_one_moment(one, other) is is_one


@pytest.mark.parametrize("heading", [b"", b"a,b\n", b"\0\n", b'"\n'])
def test_a_heading_that_says_nothing_makes_all_rows_alike(heading: bytes) -> None:
    assert Alike(heading).is_one_moment(b"1,2\n", b"3,4\n")


def test_a_row_that_cannot_be_read_is_no_error() -> None:
    assert not Alike(b"time,x\n").is_one_moment(b'1,"' + b"x" * 200_000 + b'"\n', b"1,2\n")
