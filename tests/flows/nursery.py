"""Where gateways of stories are born: a process that has imported everything, and forks whenever one is wanted.

Most of what a start costs is to import half a thousand modules. Each birth is asked for by one message on the socket
that this process has as its standard input, with two files: where the gateway prints, and where its end is told.
"""

import json
import os
import selectors
import socket
import sys

from appliance import __main__ as appliance
from appliance.process import settle_memory
from web.app import NOUNS, PAGES

LARGEST_MESSAGE = 1 << 17
FILES = range(3, 1_024)
"""What no gateway is to inherit."""


def serve(wishes: socket.socket) -> list[str] | None:
    """Give birth until nobody wishes any more. The newborn come out with their arguments, the mother with None."""
    _read_routes()
    # Neither a collection here nor one there is to touch, and so to copy, what all of them share. Each of them does the
    # same once it has started, and until then would often look for garbage where there is none.
    settle_memory()
    # It has no file of its own, which the newborn would share.
    watch = selectors.PollSelector()
    watch.register(wishes, selectors.EVENT_READ)
    living: dict[int, tuple[int, int]] = {}
    while True:
        for key, _ in watch.select():
            if key.fileobj in living:
                pid, report = living.pop(key.fd)
                watch.unregister(key.fd)
                os.close(key.fd)
                _, status = os.waitpid(pid, 0)
                os.write(report, _number(os.waitstatus_to_exitcode(status)))
                os.close(report)
                continue
            message, files, _, _ = socket.recv_fds(wishes, LARGEST_MESSAGE, 2)
            if not message:
                return None
            printed, report = files
            pid = os.fork()
            if pid == 0:
                return _settled(json.loads(message), printed)
            os.close(printed)
            os.write(report, _number(pid))
            watch.register(ended := os.pidfd_open(pid), selectors.EVENT_READ)
            living[ended] = (pid, report)


def _read_routes() -> None:
    """Have each route know what it wants of a request: applications are made of copies, which then know it, too."""
    for module in (*PAGES, *NOUNS):
        for route in module.HANDLERS:
            _ = route.parsed_fn_signature


def _number(told: int) -> bytes:
    return told.to_bytes(4, "little", signed=True)


def _settled(wish: dict[str, object], printed: int) -> list[str]:
    """Make the newborn look like a process that was started anew; gives its arguments."""
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(FILES.start, FILES.stop)
    environment, arguments = wish["environment"], wish["arguments"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    return arguments


if __name__ == "__main__":
    wishes = socket.socket(fileno=0)
    wanted = serve(wishes)
    wishes.detach()
    sys.exit(appliance.main(wanted) if wanted is not None else 0)
