import os
from pathlib import Path

from bench.children import await_port, python, started
from bench.flood import Flood, flood, window_block

HOST = "127.77.9.1"
PORT = 20_992


def test_a_window_has_its_packet_identifiers_from_one() -> None:
    block = window_block("load-00000", 0, 20)
    size = len(block) // 20
    place = 5 + len("sensors/load-00000/telemetry")
    assert [int.from_bytes(block[at + place : at + place + 2]) for at in range(0, len(block), size)] == [*range(1, 21)]


def test_the_generator_counts_what_the_sink_acknowledges(tmp_path: Path) -> None:
    size = len(window_block("load-00000", 0, 20))
    with started(python("bench.sink", HOST, str(PORT), str(size), "20"), tmp_path / "log", 0) as child:
        await_port(HOST, PORT, child)
        seen = flood(Flood(HOST, PORT, os.getpid(), 3, 20, 0.05))
    assert seen.acknowledged_a_second > 1_000
