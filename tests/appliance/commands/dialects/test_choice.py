"""In which dialect a device is told."""

import pytest

from appliance.commands.delivery.flight import Wants
from appliance.commands.dialects.aws import Aws
from appliance.commands.dialects.choice import addressed, chosen
from appliance.commands.dialects.dialect import Cbor
from appliance.commands.dialects.jobs import AsJob
from appliance.commands.dialects.plain import Plain
from appliance.commands.model import DialectName
from appliance.ingestion import cbor
from tests.appliance.commands.examples import command

ANSWERED = (Aws(Cbor(cbor.encode, cbor.decode)), Plain())
DIALECTS = (*ANSWERED, AsJob())
ANY, PLAIN, AWS, JOBS = DialectName.ANY, DialectName.PLAIN, DialectName.AWS, DialectName.JOBS


@pytest.mark.parametrize(
    ("own", "usual", "wanted", "told"),
    [
        (ANY, ANY, ("cmd/",), PLAIN),
        (ANY, ANY, ("$aws/",), AWS),
        (ANY, ANY, ("cmd/", "$aws/"), AWS),
        (ANY, PLAIN, ("cmd/", "$aws/"), PLAIN),
        (ANY, PLAIN, ("$aws/",), AWS),
        (AWS, PLAIN, ("cmd/", "$aws/"), AWS),
        (AWS, ANY, ("cmd/",), None),
        (ANY, ANY, (), None),
        (ANY, ANY, ("$aws/things/",), JOBS),
        (ANY, ANY, ("$aws/things/", "cmd/"), PLAIN),
        (ANY, ANY, ("$aws/things/", "$aws/commands/"), AWS),
        (JOBS, ANY, ("$aws/things/", "cmd/"), JOBS),
        (PLAIN, ANY, ("$aws/things/",), None),
    ],
)
def test_the_command_says_then_the_device_then_its_type(
    own: DialectName, usual: DialectName, wanted: tuple[str, ...], told: DialectName | None
) -> None:
    found = chosen(DIALECTS, command(dialect=own), Wants({f"{one}#": 1 for one in wanted}), usual)
    assert (None if found is None else found[0]) == told


def test_a_response_is_of_one_dialect() -> None:
    found = [addressed(ANSWERED, topic) for topic in ("cmd/a/response/b", "cmd/a/request/b", "sensors/a/telemetry")]
    assert [one is not None and one[0].name for one in found] == [PLAIN, False, False]
