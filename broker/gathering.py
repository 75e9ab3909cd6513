"""When it pays to let events gather: a turn of the event loop costs a third of what serving one message does.

At twenty thousand messages a second from as many connections, each message would have a turn of its own. A pause of a
millisecond before each turn then spares a fifth of the processor, and costs each message half a millisecond on average.
"""

GATHER_S = 0.001
"""How long is paused."""
TURNS = 64
"""How many turns make a judgement."""
DENSE_TURN_S = 0.00025
"""Turns that follow each other faster than this, on average, are too many."""
WORTH_WHILE = 4
"""How many a turn must serve, on average, for the pause to have been worth it."""
LONGEST_WAIT = 256
"""Judgements, at most, before a pause is tried again."""


class Gathering:
    """Judges by the turns there were whether to pause before the next one."""

    __slots__ = ("_dense", "_patience", "_served", "_since", "_turns", "is_on")

    def __init__(self) -> None:
        self.is_on = False
        """Whether to pause."""
        self._turns = self._served = self._dense = 0
        self._patience = 1
        self._since = 0.0

    def turned(self, served: int) -> bool:
        """Count a turn that has served so many; whether there is something to judge."""
        self._served += served
        self._turns += 1
        return self._turns >= TURNS

    def judge(self, now: float) -> None:
        """Decide for the turns to come; `now` is in seconds, of any beginning."""
        if self.is_on:
            if self._served < WORTH_WHILE * self._turns:
                # They wait for their answers before they go on, like one client with one message at a time.
                self.is_on = False
                self._patience = min(LONGEST_WAIT, self._patience * 2)
            else:
                self._patience = 1
        elif now - self._since < DENSE_TURN_S * self._turns:
            self._dense += 1
            if self._dense >= self._patience:
                self.is_on = True
                self._dense = 0
        else:
            self._dense = 0
        self._turns = self._served = 0
        self._since = now
