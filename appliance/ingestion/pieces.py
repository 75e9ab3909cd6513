"""How much of a batch is decided in one go: more would keep acknowledgements and pages waiting."""

PIECE_MESSAGES = 250
PIECE_BYTES = 32_768
PIECE_WEIGHT = 2_500
"""Messages, bytes of messages, and within one message what its objects weigh: so much is a piece."""
OBJECT_WEIGHT = 8
"""What an object of a message weighs without its values, each of which weighs one."""
USUAL_START = b"{"
"""Nearly every message is one object in JSON."""
USUAL_PART = 4
"""A message that is usual in all else, too, is so many times less work."""
UNUSUAL_WEIGHT = 15
"""So many times more work a byte of any other may be."""
COMPARED_WEIGHT = 8
"""As many bytes are as much work as a value of an earlier report that a report is compared with."""
LARGE_BYTES = 4_096
"""A message of several objects and so many bytes is decoded in one piece, and read in the next one."""


class Piece:
    """What is done of a message in one go."""

    __slots__ = ("_weight",)

    def __init__(self) -> None:
        self._weight = 0

    def takes(self, value_count: int) -> bool:
        """Count an object with so many values in; whether it was the last one, and the next one begins a piece."""
        self._weight += OBJECT_WEIGHT + value_count
        if self._weight < PIECE_WEIGHT:
            return False
        self._weight = 0
        return True
