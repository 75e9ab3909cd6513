"""The little XML of a bucket."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.cold.bucket import xml


def test_an_element_is_found_wherever_it_stands() -> None:
    body = b'<?xml version="1.0"?><Error xmlns="x"><Code>No&amp;Such</Code><Message>a</Message></Error>'
    assert (xml.element(body, "Code"), xml.element(body, "Message"), xml.element(body, "Key")) == ("No&Such", "a", "")


@given(st.binary())
def test_no_bytes_raise_anything(body: bytes) -> None:
    assert isinstance(xml.element(body, "Code"), str)


def test_parts_are_listed_in_their_order() -> None:
    assert xml.parts([(10, "b"), (2, "a")]) == (
        b"<CompleteMultipartUpload><Part><PartNumber>2</PartNumber><ETag>&quot;a&quot;</ETag></Part>"
        b"<Part><PartNumber>10</PartNumber><ETag>&quot;b&quot;</ETag></Part></CompleteMultipartUpload>"
    )
