"""What the broker says of itself."""

from hypothesis import given
from hypothesis import strategies as st

from broker.limits import Limits
from broker.sys_topics import Figures, messages
from broker.topics import check_name, matches

FIGURES = Figures(
    uptime_s=90,
    connections=2,
    sessions=5,
    subscriptions=7,
    retained=11,
    queued_bytes=13,
    received=17,
    delivered=19,
    dropped=23,
    refused=29,
)


def test_the_numbers_have_the_names_that_brokers_have_in_common() -> None:
    assert messages(FIGURES) == {
        "$SYS/broker/version": b"headworks",
        "$SYS/broker/uptime": b"90 seconds",
        "$SYS/broker/clients/connected": b"2",
        "$SYS/broker/clients/total": b"5",
        "$SYS/broker/clients/disconnected": b"3",
        "$SYS/broker/subscriptions/count": b"7",
        "$SYS/broker/retained messages/count": b"11",
        "$SYS/broker/store/messages/bytes": b"13",
        "$SYS/broker/publish/messages/received": b"17",
        "$SYS/broker/publish/messages/sent": b"19",
        "$SYS/broker/publish/messages/dropped": b"23",
        "$SYS/broker/connections/refused": b"29",
    }


@given(st.builds(Figures, *[st.integers(0, 10**9)] * len(Figures.__struct_fields__)))
def test_every_number_can_be_retained_below_sys(figures: Figures) -> None:
    for topic, payload in messages(figures).items():
        check_name(topic, Limits())
        assert matches("$SYS/#", topic)
        assert payload, "an empty payload would clear what is retained"
        assert b"-" not in payload, "fewer sessions than connections are none that are away"
