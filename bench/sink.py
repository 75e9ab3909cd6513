"""What answers every PUBLISH by PUBACK and does nothing else: it shows what the load generator can do at most.

Run as `python -m bench.sink HOST PORT WINDOW_BYTES ACKNOWLEDGEMENTS`; the window is counted and thrown away by the
kernel, and answered by a block that was made beforehand. Ends with SIGTERM.
"""

import select
import socket
import sys

from bench import packets

BLOCK_BYTES = 65_536


def serve(host: str, port: int, window_bytes: int, window: int) -> None:
    """Answer whole windows until the process is ended."""
    block = b"".join(packets.puback(number + 1) for number in range(window))
    poll = select.epoll()
    connections: dict[int, socket.socket] = {}
    thrown_away = bytearray(BLOCK_BYTES)
    with socket.create_server((host, port), backlog=1_000) as listener:
        poll.register(listener, select.EPOLLIN)
        while True:
            for fd, _ in poll.poll():
                connection = connections.get(fd)
                if connection is None:
                    arrived, _ = listener.accept()
                    connections[arrived.fileno()] = arrived
                    if _greeted(arrived, window_bytes):
                        poll.register(arrived, select.EPOLLIN)
                elif connection.recv_into(thrown_away, window_bytes, socket.MSG_TRUNC) == window_bytes:
                    connection.send(block)
                else:
                    poll.unregister(fd)
                    connections.pop(fd).close()


def _greeted(connection: socket.socket, window_bytes: int) -> bool:
    """Answer CONNECT, and from then on wake up for whole windows only; False when nobody is there."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not connection.recv(BLOCK_BYTES):
        return False
    connection.send(b"\x20\x02\x00\x00")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, window_bytes)
    return True


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
