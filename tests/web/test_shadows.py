import pytest

from appliance.accounts.model import Role, User
from appliance.audit.model import Entry
from appliance.errors import (
    ApplianceError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    TooLargeError,
    TooManyAttemptsError,
    UnavailableError,
)
from appliance.shadows.model import Address, Answer, Verb
from tests.web.house import House
from web.shadows import Wish, author, change, check_name, refusal, remove

MARIA = User(1, 1, "maria@example.com", Role.OPERATOR)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, InvalidInputError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, TooLargeError),
        (429, TooManyAttemptsError),
        (500, UnavailableError),
    ],
)
def test_a_rejected_request_is_an_error_in_the_words_of_the_shadow(code: int, kind: type[ApplianceError]) -> None:
    error = refusal(Answer(code, b'{"code":%d,"message":"Version conflict","timestamp":1}' % code))
    assert type(error) is kind
    assert str(error) == "Version conflict"


def test_the_history_tells_people_from_scripts() -> None:
    assert author(MARIA) == "user maria@example.com"
    assert author(User(0, 1, "token:night shift", Role.OPERATOR)) == "script night shift"


@pytest.mark.parametrize("name", ["", "display", "$x:y_z-1", "x" * 64])
def test_a_name_that_devices_may_use_people_may_too(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", [" ", "a/b", "x" * 65, "é"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be the name of a shadow"):
        check_name(name)


async def test_a_change_is_in_the_audit_log_without_what_was_changed_and_a_refused_one_is_not(house: House) -> None:
    await house.add_device("pump")
    accepted = await change(house.gateway, MARIA, Wish("pump", "", {"desired": {"secret": "hunter2"}}))
    assert accepted.version == 1
    with pytest.raises(ConflictError):
        await change(house.gateway, MARIA, Wish("pump", "", {"desired": {"a": 1}}, version=7))
    await remove(house.gateway, MARIA, "pump", "")
    removed, changed = await house.gateway.registry.audit.entries(1, limit=2)
    assert (changed.action, changed.subject, changed.result) == ("shadow.change", "pump", "done")
    assert changed.details == '{"name":"(classic)","version":"1"}'
    assert (removed.action, removed.details) == ("shadow.delete", '{"name":"(classic)","version":"2"}')


async def test_a_change_that_cannot_be_told_to_the_audit_log_is_not_made(house: House) -> None:
    await house.add_device("pump")

    def broken(_version: int) -> Entry:
        raise ValueError("no entry")

    address = Address("pump", "", Verb.UPDATE)
    with pytest.raises(ValueError, match="no entry"):
        await house.gateway.shadows.ask(1, address, b'{"state":{"desired":{"a":1}}}', "user maria", broken)
    assert await house.gateway.shadows.shadow(1, "pump", "") is None


async def test_a_device_that_is_not_registered_has_no_shadow_for_people(house: House) -> None:
    with pytest.raises(NotFoundError):
        await change(house.gateway, MARIA, Wish("nobody", "", {"desired": {"a": 1}}))
