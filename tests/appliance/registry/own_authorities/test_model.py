from appliance.registry.own_authorities.model import CODE_BYTES, DAILY_LIMIT, DAILY_MOST, Mode, Settings


def test_a_code_fills_a_common_name_and_not_more() -> None:
    assert len((b"\0" * CODE_BYTES).hex()) == 64


def test_nothing_becomes_a_device_unless_a_person_said_so() -> None:
    assert Settings().mode is Mode.REGISTER
    assert 0 < DAILY_LIMIT <= DAILY_MOST
