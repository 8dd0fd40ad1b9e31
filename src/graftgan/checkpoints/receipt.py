"""Loading weights into a module, with a receipt that the caller must sign."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graftgan.core.errors import CheckpointError
from graftgan.core.untrusted import shown


@dataclass(frozen=True, slots=True)
class LoadReceipt:
    """What became of every tensor in a load.

    Attributes:
        kept: Loaded as they were.
        fresh: In the module but not in the file; the module's own values stay.
        unexpected: In the file but not in the module; not loaded.
        misfit: In both with different shapes, as ``name: file shape, module shape``; not loaded.
    """

    kept: tuple[str, ...]
    fresh: tuple[str, ...]
    unexpected: tuple[str, ...]
    misfit: tuple[str, ...]

    def require_complete(self, *, what: str) -> None:
        """Accept only a load in which every tensor found its place.

        Raises:
            CheckpointError: Lists everything that did not.
        """
        problems = [
            *(f"{name} is missing" for name in self.fresh),
            *(f"{shown(name)} has no place" for name in self.unexpected),
            *(f"{line}" for line in self.misfit),
        ]
        if problems:
            first = "; ".join(problems[:6])
            more = f"; and {len(problems) - 6} more" if len(problems) > 6 else ""
            raise CheckpointError(
                f"{what} does not fit the network: {first}{more}; "
                "use the checkpoint of the same backbone, width and resolution"
            )

    def __str__(self) -> str:
        return (
            f"{len(self.kept)} kept, {len(self.fresh)} fresh, "
            f"{len(self.unexpected)} unexpected, {len(self.misfit)} of another shape"
        )


def match(module: nn.Module, tensors: Mapping[str, Tensor]) -> LoadReceipt:
    """Say what would become of every tensor if ``tensors`` were loaded into ``module``."""
    own = module.state_dict()
    shared = [name for name in own if name in tensors]
    return LoadReceipt(
        kept=tuple(name for name in shared if own[name].shape == tensors[name].shape),
        fresh=tuple(name for name in own if name not in tensors),
        unexpected=tuple(name for name in tensors if name not in own),
        misfit=tuple(
            f"{name}: {tuple(tensors[name].shape)} in the file, {tuple(own[name].shape)} expected"
            for name in shared
            if own[name].shape != tensors[name].shape
        ),
    )


@torch.no_grad()
def copy_matching(module: nn.Module, tensors: Mapping[str, Tensor]) -> LoadReceipt:
    """Copy every tensor whose name and shape match into ``module``; report all others.

    Nothing is copied by broadcasting, and nothing is skipped without a word.
    """
    receipt = match(module, tensors)
    own = module.state_dict()
    for name in receipt.kept:
        own[name].copy_(tensors[name])
    return receipt
