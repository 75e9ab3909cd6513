from appliance.telemetry.promql.model import Steps


def test_steps_are_moments_that_follow_each_other() -> None:
    assert Steps(5, 3, 10).moments() == [5, 15, 25]
    assert Steps(5, 1, 0).moments() == [5]
