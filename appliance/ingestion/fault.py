"""What is wrong with a payload, in words for its author."""


class PayloadError(Exception):
    """A payload, or one object in it, cannot be understood."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
