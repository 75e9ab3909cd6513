from broker.limits import Limits
from web.device_http import budget
from web.device_http.budget import NOTED_EVERY_S, Budget

PUMP, FAN = (1, "pump"), (1, "fan")
FEW = Limits(publishes_per_s=2, bytes_per_s=1_000)


def test_a_device_may_ask_so_often_in_a_second_and_then_again_in_the_next() -> None:
    book = Budget(FEW)
    assert [book.charge(PUMP, 10, 5.0 + n / 10) for n in range(4)] == [False, False, True, True]
    assert not book.charge(FAN, 10, 5.4)
    assert not book.charge((2, "pump"), 10, 5.4)
    assert [book.charge(PUMP, 10, 6.0 + n / 10) for n in range(3)] == [False, False, True]


def test_bytes_count_too_and_one_large_request_is_taken() -> None:
    book = Budget(FEW)
    assert [book.charge(PUMP, size, now) for size, now in ((999, 1.0), (2, 1.1), (5_000, 9.0), (1, 9.1))] == [
        False,
        True,
        False,
        True,
    ]


def test_its_page_says_so_once_in_a_while() -> None:
    book = Budget(FEW)
    book.charge(PUMP, 0, 1.0)
    book.charge(FAN, 0, 1.0)
    assert [book.is_to_be_noted(who, now) for who, now in ((PUMP, 1.0), (PUMP, 1.5), (FAN, 1.5))] == [True, False, True]
    assert book.is_to_be_noted(PUMP, 1.0 + NOTED_EVERY_S)
    assert "2 requests or 1000 bytes" in book.reason


def test_it_forgets_devices_that_are_quiet_again() -> None:
    book = Budget(FEW)
    for number in range(budget.REMEMBERED):
        book.charge((1, str(number)), 0, 1.0)
    book.is_to_be_noted((1, "7"), 1.0)
    book.charge(PUMP, 0, 9.0)
    assert set(book._windows) == {(1, "7"), PUMP}
    assert not book.is_to_be_noted((1, "7"), 9.0)
