from broker.reason_codes import ReasonCode


def test_a_kind_is_a_stable_word() -> None:
    assert ReasonCode.NOT_AUTHORIZED.kind == "not_authorized"


def test_all_but_the_normal_end_are_failures() -> None:
    # MQTT 5, section 2.4: codes from 0x80 on say that something failed.
    assert [code for code in ReasonCode if code < 0x80] == [ReasonCode.NORMAL_DISCONNECTION]
