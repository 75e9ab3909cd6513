"""How log lines look: what happened, with keys; journald and terminals each get their own head."""

import logging
import sys

# The numbers of syslog(3), which journald reads off the beginning of a line.
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

QUIET = ("apscheduler", "aiosqlite", "asyncio", "uvicorn", "uvicorn.error", "litestar", "httpx")
"""Libraries that are only heard from warnings upwards."""


class _Line(logging.Formatter):
    def __init__(self, *, for_journal: bool) -> None:
        super().__init__("%(name)s: %(message)s" if for_journal else "%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._for_journal = for_journal

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name that logging calls
        # A client chooses its identifier: control characters in it must not forge lines or colours.
        return _visible(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        # What has line breaks here is a traceback.
        text = "\n".join(map(_visible, super().format(record).split("\n")))
        if not self._for_journal:
            return text
        mark = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(mark + line for line in text.split("\n"))


def configure(level: str, *, for_journal: bool) -> None:
    """Write log lines of this level and above to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Line(for_journal=for_journal))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in QUIET:
        library = logging.getLogger(name)
        library.setLevel(logging.WARNING)
        # Some have a way of their own to write lines, from the moment they are used anywhere in the process.
        library.handlers.clear()
        library.propagate = True


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
