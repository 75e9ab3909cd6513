"""Settings are printed as the file that would say them."""

import tomllib

import msgspec

from appliance.settings_text import section

OPTIONS = {"x": {"password": "very secret", "url": "http://me:secret@host"}}


class Inner(msgspec.Struct, frozen=True):
    name: str = "b"


class Outer(msgspec.Struct, frozen=True):
    count: int | None = None
    inner: Inner = Inner()
    options: dict[str, dict[str, str]] = {}
    last: tuple[str, ...] = ("a", "c")


def test_a_section_within_a_section_stands_by_itself_and_secrets_are_hidden() -> None:
    text = "\n".join(section("outer", Outer(options=OPTIONS)))
    assert "secret" not in text
    read = tomllib.loads(text)["outer"]
    assert (read["count"], read["inner"], read["last"]) == ("off", {"name": "b"}, ["a", "c"])
    assert read["options"]["x"]["password"] == "(hidden)"
