"""What goes wrong inside plugins: counted always, logged once."""

import logging
from collections import Counter

log = logging.getLogger(__name__)


class Faults:
    """Errors of plugins, by plugin, method and kind of error."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def note(self, plugin: object, method: str, error: BaseException) -> None:
        """Count an error; log the first of its kind, without its text: plugins put passwords into it."""
        key = (type(plugin).__name__, method, type(error).__name__)
        self.counts[key] += 1
        if self.counts[key] == 1:
            log.error("plugin failed plugin=%s method=%s error=%s at=%s", *key, _place(error))


def _place(error: BaseException) -> str:
    """Where an error was raised: file and line."""
    trace = error.__traceback__
    if trace is None:
        return "unknown"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
