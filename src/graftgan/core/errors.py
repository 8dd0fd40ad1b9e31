"""The errors a person can meet, as one small tree.

GraftganError
    SettingsError      a setting has a wrong name, type or value
        UnknownName    a registry has nothing by that name
    PlanError          a plan does not fit the networks
    ImageSetError      pictures cannot become an image set
    CollectError       pictures cannot be collected, or not into that folder
    SourceError        a source model is missing or unusable
    CheckpointError    weights or cards on disk are missing, damaged or of another network
    RunError           a run folder cannot be started, written or continued
    ScoreError         a score cannot be measured, or two cannot be compared
    TrainingDiverged   training produced not-a-number or collapsed

Each message says what is wrong, where, what was expected and what to do. The command line prints
it as one line and exits with code 2; library callers catch ``GraftganError``.
"""

from graftgan.core.untrusted import shown

_LONGEST = 2_000  # characters of a message


class GraftganError(Exception):
    """Base of every error that has an explanation for the user.

    Messages quote names from files. Whatever these hold, the text of an error is one line of
    characters that a terminal shows; it ends in ``…`` where it would be longer than 2,000.
    """

    def __str__(self) -> str:
        message = Exception.__str__(self)  # KeyError would print it in quotes
        return shown(" ".join(line.strip() for line in message.splitlines()), _LONGEST)


class SettingsError(GraftganError):
    """A setting has a wrong name, type or value."""


class UnknownName(SettingsError, KeyError):  # noqa: N818 - reads as what happened
    """A registry has nothing by that name."""


class PlanError(GraftganError):
    """A plan does not fit the networks it should apply to."""


class ImageSetError(GraftganError):
    """Pictures cannot become an image set."""


class CollectError(GraftganError):
    """Pictures cannot be collected from there, or not into that folder."""


class SourceError(GraftganError):
    """A source model is missing or unusable."""


class CheckpointError(GraftganError):
    """Weights or cards on disk are missing, damaged or belong to another network."""


class RunError(GraftganError):
    """A run folder cannot be started, written or continued."""


class ScoreError(GraftganError):
    """A score cannot be measured, or two scores cannot be compared."""


class TrainingDiverged(GraftganError):  # noqa: N818 - reads as what happened
    """Training produced not-a-number or collapsed to one picture."""
