"""How other programs name what they save, as rows of a registry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graftgan.core.errors import CheckpointError
from graftgan.core.registry import Registry
from graftgan.models.convert.converted import Found

NamedTensors = dict[str, Tensor]
Parts = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one program saves its networks.

    Attributes:
        title: What a person knows it by.
        parts: From the dictionary in a file to the state dicts in it by role, as many as it has;
            none: it is a file of another program.
        pair: From the tensors of generator and discriminator to what they are here. It may rely on
            nothing but their being tensors, and raises ``CheckpointError`` where they do not fit.
        refusal: Why no such file can be used, and what can; empty: they can.
    """

    title: str
    parts: Callable[[Mapping[str, Any]], Parts]
    pair: Callable[[NamedTensors, NamedTensors], Found] | None = None
    refusal: str = ""


LAYOUTS: Registry[Layout] = Registry("layout")


def renamed(tensors: NamedTensors, names: Mapping[str, str]) -> NamedTensors:
    """Return ``tensors`` under our names; one that has none here is marked as the file's."""
    return {names.get(name, f"{name} of the file"): tensor for name, tensor in tensors.items()}


def shape_of(tensors: NamedTensors, name: str, dimensions: int) -> tuple[int, ...]:
    """Return the shape of a tensor that tells how large a network is.

    Raises:
        CheckpointError: It is missing or has not as many ``dimensions``.
    """
    if name not in tensors:
        raise CheckpointError(f"{name} is missing")
    shape = tuple(tensors[name].shape)
    if len(shape) != dimensions:
        raise CheckpointError(
            f"{name} is of shape {shape}, where {dimensions} lengths are expected"
        )
    return shape
