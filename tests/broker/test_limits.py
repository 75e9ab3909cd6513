from broker.limits import Limits


def test_the_defaults_fit_together() -> None:
    limits = Limits()
    assert limits.connect_packet_bytes <= limits.packet_bytes <= limits.queue_bytes
    # What is in flight goes out in one piece after a reconnect, and must not look like slow reading.
    assert limits.in_flight_bytes + limits.packet_bytes < limits.unsent_bytes
    assert limits.in_flight < 65_535
    assert limits.sweep_interval_s < limits.connect_timeout_s
