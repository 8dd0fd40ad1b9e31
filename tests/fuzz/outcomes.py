"""What a step raises that is neither a refusal nor an accident."""

from graftgan.errors import GraftganError

NOT_TRAINED = "the harness does not train"


class NotTrainedError(GraftganError):
    """The harness reads; where a training would begin, reading has succeeded."""


class WrongError(Exception):
    """A step accepted what it should not, or took it for something else."""
