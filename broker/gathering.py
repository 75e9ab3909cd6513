"""When it pays to let events gather: a look at who is ready, with its turn of the loop, costs a third of a message.

At twenty thousand messages a second over ten thousand connections each message would have a look of its own. A pause of
a millisecond before each then spares a fifth of the processor, and costs each message one to two milliseconds.
"""

GATHER_S = 0.001
"""How long is paused."""
LOOKS = 64
"""How many looks at who is ready make a judgement."""
DENSE_LOOK_S = 0.0008
"""Looks that follow each other faster than this, on average, are too many."""
WORTH_WHILE = 4
"""How many a look must serve, on average, for the pause to have been worth it."""
LONGEST_WAIT = 256
"""Judgements, at most, before a pause is tried again."""


class Gathering:
    """Judges by the looks there were whether to pause before the next one."""

    __slots__ = ("_dense", "_looks", "_patience", "_served", "_since", "is_on")

    def __init__(self) -> None:
        self.is_on = False
        """Whether to pause."""
        self._looks = self._served = self._dense = 0
        self._patience = 1
        self._since = 0.0

    def looked(self, served: int) -> bool:
        """Count a look that has served so many; whether there is something to judge."""
        self._served += served
        self._looks += 1
        return self._looks >= LOOKS

    def judge(self, now: float) -> None:
        """Decide for the looks to come; `now` is in seconds, of any beginning."""
        if self.is_on:
            if self._served < WORTH_WHILE * self._looks:
                # They wait for their answers before they go on, like one client with one message at a time.
                self.is_on = False
                self._patience = min(LONGEST_WAIT, self._patience * 2)
            else:
                self._patience = 1
        elif now - self._since < DENSE_LOOK_S * self._looks:
            self._dense += 1
            if self._dense >= self._patience:
                self.is_on = True
                self._dense = 0
        else:
            self._dense = 0
        self._looks = self._served = 0
        self._since = now
