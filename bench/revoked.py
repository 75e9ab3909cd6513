"""Devices that are connected and wait to be put out: a process of their own, run as `python -m bench.revoked`."""

import select
import socket
import ssl
import time
from pathlib import Path

import msgspec

from bench.generator import answer, asked, end_after, files_raised

CONNECT_TIMEOUT_S = 60.0


class Hold(msgspec.Struct, frozen=True, tag=True):
    """Connect these devices, each with the bundle in the folder of its name, and stay."""

    host: str
    port: int
    bundles: str
    names: tuple[str, ...]


class Order(msgspec.Struct, frozen=True, tag=True):
    """Tell when the connections of these were ended."""

    names: tuple[str, ...]
    patience_s: float


class Holding(msgspec.Struct, frozen=True):
    """So many are connected."""

    count: int


class Ended(msgspec.Struct, frozen=True):
    """When each connection ended, by the machine's monotonic clock; and how many are open."""

    moments_ns: tuple[int, ...]
    open_count: int


class Crowd:
    """Connections that are held."""

    def __init__(self) -> None:
        self._poller = select.epoll()
        self._sockets: dict[int, tuple[str, ssl.SSLSocket]] = {}

    def hold(self, task: Hold) -> None:
        """Connect everybody; raises `OSError` when one is not let in."""
        end_after(len(task.names) / 10)
        for name in task.names:
            connection = _connected(task, name)
            connection.setblocking(False)
            self._sockets[connection.fileno()] = (name, connection)
            self._poller.register(connection.fileno(), select.EPOLLIN | select.EPOLLRDHUP)

    def watch(self, order: Order) -> Ended:
        """Wait until these are out; raises `TimeoutError` when one is not in time."""
        wanted = set(order.names)
        moments = []
        deadline = time.monotonic() + order.patience_s
        while wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(wanted)} connections were not ended")
            for number, _ in self._poller.poll(1.0):
                moment = time.monotonic_ns()
                name, connection = self._sockets[number]
                if _is_over(connection):
                    self._poller.unregister(number)
                    del self._sockets[number]
                    connection.close()
                    wanted.discard(name)
                    moments.append(moment)
        return Ended(tuple(moments), len(self._sockets))


def _connected(task: Hold, name: str) -> ssl.SSLSocket:
    folder = Path(task.bundles) / name
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    plain = socket.create_connection((task.host, task.port), timeout=CONNECT_TIMEOUT_S)
    connection = context.wrap_socket(plain)
    text = name.encode()
    # CONNECT of MQTT 3.1.1: a clean session, no keep alive.
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(text).to_bytes(2, "big") + text
    connection.sendall(bytes((0x10, len(body))) + body)
    if connection.recv(4) != b"\x20\x02\x00\x00":
        raise ConnectionRefusedError(f"{name} was not let in")
    return connection


def _is_over(connection: ssl.SSLSocket) -> bool:
    try:
        return not connection.recv(1_024)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False
    except OSError:
        return True


def main() -> None:
    """Do what is asked until nobody asks."""
    files_raised()
    crowd = Crowd()
    decoder: msgspec.json.Decoder[Hold | Order] = msgspec.json.Decoder(Hold | Order)
    while (request := asked(decoder)) is not None:
        match request:
            case Hold():
                crowd.hold(request)
                answer(Holding(len(request.names)))
            case Order():
                answer(crowd.watch(request))


if __name__ == "__main__":
    main()
