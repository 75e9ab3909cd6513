"""File descriptors: a few are kept from connections, so that whatever the process itself opens can be opened."""

import resource

RESERVE = 64
"""Files of the day, roll-ups, certificates, programs that are started, and what libraries open."""


def is_scarce(descriptor: int) -> bool:
    """Whether the descriptor that a connection was just given is of the last ones: it must go again.

    POSIX gives the lowest number that is free, so a high one says that nearly all are in use.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit != resource.RLIM_INFINITY and descriptor >= limit - min(RESERVE, limit // 4)


def allow_many() -> None:
    """Let this process open as many files as it may: the usual 1,024 are few for a gateway."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
