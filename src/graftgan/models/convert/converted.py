"""What a file of another program turned out to hold."""

from dataclasses import dataclass

from torch import Tensor

from graftgan.core.network_types import Architecture

LICENCE = "that of the file, which does not say"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A pair of networks with the names that they have here.

    Attributes:
        architecture: Of both.
        tensors: By role, then by name.
        remark: On where they come from, for the card.
        licence: Of the weights, as far as it is known.
    """

    architecture: Architecture
    tensors: dict[str, dict[str, Tensor]]
    remark: str
    licence: str = LICENCE
