from appliance.ingestion.known import Known
from tests.appliance.ingestion.deciding import Gateway
from tests.appliance.ingestion.examples import TOLERANCES, message


def test_a_reading_that_nobody_knows_of_has_no_moment() -> None:
    known = Known(Gateway().book, lambda *_: "", lambda *key: {(1, "pump", "flow"): 7}.get(key), TOLERANCES)
    assert (known.newest((1, "pump", "flow")), known.newest((1, "pump", "level"))) == (7, 0)


def test_what_a_batch_changed_is_known_once_it_is_taken_over() -> None:
    gateway = Gateway()
    decision = gateway.decide([message({"pressure": 9.0})])
    assert gateway.book.states() == {}
    gateway.known.merge(decision)
    assert len(gateway.book.states()) == 2
