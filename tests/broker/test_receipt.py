"""What waits for a commit."""

from broker.receipt import Ended, Submitted, settle


def test_each_kind_is_told_to_whom_it_concerns() -> None:
    ended: list[Ended] = []
    told: list[str] = []
    settle(Submitted(lambda: told.append("submitted")), ended.append)
    settle(Ended(1, "pump"), ended.append)
    assert (ended, told) == ([Ended(1, "pump")], ["submitted"])
