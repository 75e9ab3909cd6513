from appliance.audit.change import TEXT_LENGTH
from appliance.audit.kinds import KINDS
from appliance.audit.model import Entry
from appliance.instant import to_text
from appliance.telemetry.keeping.erasing.record import asked, asked_again, erased
from appliance.telemetry.keeping.model import Erasure
from tests.appliance.telemetry.reports import NOON

ERASURES = [Erasure(1, 1, "a", 7, 9), Erasure(2, 1, "b", 7, 9)]


def test_devices_that_were_named_are_each_told_of() -> None:
    assert asked(["a", "b"], "", NOON) == asked_again(ERASURES) == [Entry("telemetry.erase", each) for each in "ab"]
    assert erased(ERASURES) == [Entry("telemetry.erased", each) for each in "ab"]


def test_what_a_search_has_found_is_one_act_and_every_device_of_it() -> None:
    act, *each = asked(["a", "b"], "attribute.owner:anna", NOON)
    facts = {"device_count": "2", "devices": "a b", "from": "the first reading", "to": to_text(NOON)}
    assert act == Entry("telemetry.erase_many", "attribute.owner:anna", facts)
    assert each == [Entry("telemetry.erase", one, {"search": "attribute.owner:anna"}) for one in "ab"]


def test_an_act_on_very_many_devices_is_no_longer_than_other_entries() -> None:
    names = [f"sensor-{number:04d}" for number in range(1_000)]
    act, *each = asked(names, "id:sensor-*", NOON)
    assert act.details["device_count"] == "1000"
    assert len(act.details["devices"]) < 2 * TEXT_LENGTH
    assert [entry.subject for entry in each] == names
    assert {entry.action for entry in (act, *each, *erased(ERASURES))} <= set(KINDS)
