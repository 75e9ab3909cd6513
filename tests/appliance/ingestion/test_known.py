from appliance.ingestion.known import Known
from tests.appliance.ingestion.deciding import Gateway
from tests.appliance.ingestion.examples import NOW, TOLERANCES, message


def test_a_reading_that_nobody_knows_of_has_no_moment() -> None:
    known = Known(Gateway().book, lambda *_: "", lambda *key: {(1, "pump", "flow"): 7}.get(key), TOLERANCES)
    assert (known.newest((1, "pump", "flow")), known.newest((1, "pump", "level"))) == (7, 0)


def test_a_reading_older_than_one_that_waits_for_its_commit_moves_no_alert() -> None:
    gateway = Gateway()
    gateway.put(gateway.decide([message({"pressure": 1, "timestamp": NOW - 1})]))
    gateway.put(gateway.decide([message({"flow": 1})]))
    gateway.put(gateway.decide([message({"pressure": 9, "timestamp": NOW - 2})]))
    assert [gateway.remember().changes for _ in range(3)] == [(), (), ()]
    gateway.commit([message({"pressure": 9, "timestamp": NOW})])
    assert len(gateway.book.states()) == 2


def test_what_a_batch_changed_is_known_once_it_is_taken_over() -> None:
    gateway = Gateway()
    decision = gateway.decide([message({"pressure": 9.0})])
    assert gateway.book.states() == {}
    gateway.known.merge(decision)
    assert len(gateway.book.states()) == 2
