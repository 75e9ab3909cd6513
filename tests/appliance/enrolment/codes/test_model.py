from tests.appliance.enrolment.codes.examples import code


def test_a_star_makes_a_pattern() -> None:
    assert code(target="pump-*").is_pattern
    assert not code(target="pump-7").is_pattern
