"""What a step raises that is neither a refusal nor an accident."""

from graftgan.core.errors import GraftganError

EXPECTED = "expected.json"
"""A file in a case for its own step: what has to hold if nothing else in it is damaged."""
NOT_TRAINED = "the harness does not train"


class NotTrainedError(GraftganError):
    """The harness reads; where a training would begin, reading has succeeded."""


class WrongError(Exception):
    """A step accepted what it should not, or took it for something else.

    Attributes:
        what: The kind of mistake: findings of one kind are taken for one fault.
    """

    def __init__(self, what: str, text: str = "") -> None:
        super().__init__(text or what)
        self.what = what
