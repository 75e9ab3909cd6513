import pytest

from appliance.shadows.model import Address, Verb
from appliance.shadows.topics import address, answered, asked


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("name", ["", "config"])
def test_a_request_is_read_and_answered_below_its_own_topic(verb: Verb, name: str) -> None:
    topic = f"$aws/things/pump/shadow{'/name/' + name if name else ''}/{verb}"
    assert address(topic) == Address("pump", name, verb)
    assert asked(Address("pump", name, verb)) == topic
    assert answered(Address("pump", name, verb), "accepted") == f"{topic}/accepted"


@pytest.mark.parametrize(
    "topic",
    [
        "$aws/things/pump/shadow/update/accepted",
        "$aws/things/pump/shadow/name/update",
        "$aws/things/pump/shadow/name//update",
        "$aws/things//shadow/update",
        "$aws/things/pump/jobs/get",
        "$aws/things/pump/shadow/list",
        "aws/things/pump/shadow/get",
        "x$aws/things/pump/shadow/get",
        "$aws/things/pump/shadow/get\n",
    ],
)
def test_everything_else_is_no_request(topic: str) -> None:
    assert address(topic) is None


def test_a_name_that_no_shadow_can_have_is_a_request_that_is_answered() -> None:
    assert address("$aws/things/pump/shadow/name/a b/get") == Address("pump", "a b", Verb.GET)
