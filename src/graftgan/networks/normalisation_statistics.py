"""Whether normalisation layers follow the batch, keep the source's statistics, or learn new ones.

A frozen layer's buffers never move. What it normalises with is a setting:

* ``source``: the source's running statistics. The layer is then a fixed function, the same in
  training and sampling.
* ``batch``: the statistics of the batch at hand, as the papers' code did; also when sampling, since
  the running statistics are the source's and would not fit.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

Statistics = Literal["source", "batch"]


def hold_buffers(layer: nn.Module, statistics: Statistics) -> None:
    """Stop every buffer of ``layer`` from moving, in training mode too.

    Evaluation mode also stops the power iteration of a spectral norm.
    """
    layer.eval()
    if statistics == "batch":
        for norm in batch_norms([layer]):
            use_batch_statistics(norm)


def use_batch_statistics(norm: _BatchNorm) -> None:
    """Normalise with the batch at hand, and leave the running statistics as they are."""
    norm.track_running_stats = False  # torch then neither reads nor writes them in training mode
    norm.train()


def follow_running_statistics(network: nn.Module) -> None:
    """Let every norm learn running statistics again: the start of a plan, whatever came before."""
    for norm in batch_norms([network]):
        norm.track_running_stats = True


def evaluation_mode(network: nn.Module) -> None:
    """Set ``network`` to evaluation, except for norms that were told to follow the batch."""
    network.eval()
    for norm in batch_norms([network]):
        if not norm.track_running_stats:
            norm.train()


def follow_the_modes_of(model: nn.Module, copy: nn.Module) -> None:
    """Let ``copy`` normalise as ``model`` does at this moment, without moving its own buffers."""
    copy.eval()
    for norm, like in zip(batch_norms([copy]), batch_norms([model]), strict=True):
        if like.training:
            use_batch_statistics(norm)


def layers_on_batch_statistics(layers: Iterable[tuple[str, nn.Module]]) -> tuple[str, ...]:
    """Return the names of the layers in which some norm follows the batch."""
    return tuple(
        name
        for name, layer in layers
        if any(not norm.track_running_stats for norm in batch_norms([layer]))
    )


def batch_norms(modules: Iterable[nn.Module]) -> Iterator[_BatchNorm]:
    """Yield every norm inside ``modules`` that has running statistics."""
    for module in modules:
        for part in module.modules():
            if isinstance(part, _BatchNorm) and part.running_mean is not None:
                yield part
