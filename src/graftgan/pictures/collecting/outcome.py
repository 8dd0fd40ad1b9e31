"""What a collection did, and how far it is."""

from collections import Counter
from dataclasses import dataclass, field

from graftgan.core.provenance import Origin


@dataclass(slots=True)
class Collected:
    """What a collection did.

    Attributes:
        new: Pictures stored.
        already: Candidates whose picture was there from an earlier time.
        duplicates: Candidates with the address or the bytes of another.
        refused: Candidates refused now, by reason.
        refused_before: Candidates not tried since they were refused at an earlier time.
        problems: Sources that could not be listed to their end, and why.
        origins: Of all pictures in the folder.
        worth_trying_again: Refused addresses in the folder that another day or other settings may
            bring.
    """

    new: int = 0
    already: int = 0
    duplicates: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    refused_before: int = 0
    problems: list[str] = field(default_factory=list[str])
    origins: list[Origin] = field(default_factory=list[Origin])
    worth_trying_again: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionProgress:
    """How far the collection of one source is.

    Attributes:
        source: As the person named it.
        have: Different pictures of it, those of earlier times included.
        wanted: None: all there are.
        refused: Candidates refused so far, of all sources.
    """

    source: str
    have: int
    wanted: int | None
    refused: int
