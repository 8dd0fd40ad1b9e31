"""C_T: do generated pictures lie closer to the training pictures than new real ones do?

Source: Meehan, Chaudhuri and Dasgupta 2020 (arXiv:2004.05675, section 3).
"""

from math import sqrt

import torch
from torch import Tensor

from graftgan.core.randomness import Randomness

_DIMENSIONS = 64  # principal components in which the cells are cut
_PER_CELL = 50  # training and held-out pictures that a cell should have
_MOST_CELLS = 10
_LEAST_IN_CELL = 10  # generated and held-out pictures; a cell with fewer is left out
_ROUNDS = 25  # of k-means


def mann_whitney_z(generated: Tensor, held_out: Tensor) -> float:
    """Return the z-score of the Mann-Whitney U of ``generated`` (n,) over ``held_out`` (m,).

    Standard normal where both are draws of one law; far below 0 where the generated values are
    the smaller ones. Ties share their rank, and the variance is corrected for them; 0 where all
    values are equal.
    """
    n, m = len(generated), len(held_out)
    _, group, sizes = torch.unique(
        torch.cat([generated, held_out]).double(), return_inverse=True, return_counts=True
    )
    sizes = sizes.double()
    ranks = (sizes.cumsum(0) - (sizes - 1) / 2)[group]
    excess = float(ranks[:n].sum()) - n * (n + 1) / 2 - n * m / 2
    ties = float((sizes**3 - sizes).sum()) / ((n + m) * (n + m - 1))
    variance = n * m / 12 * (n + m + 1 - ties)
    return excess / sqrt(variance) if variance > 0 else 0.0


def data_copying_test(
    generated: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor],
    training: Tensor,
    *,
    seed: int,
) -> float:
    """Return C_T: ``mann_whitney_z`` in each cell of the data, averaged by held-out share.

    Far below 0 means copying, far above 0 a generator that has not reached the data. Differs from
    the source: the distances are given, so they may be of all features while the cells are cut by
    k-means in 64 principal components; there is one cell for every 50 training and held-out
    pictures, at least one and at most 10; where no cell holds 10 of both kinds, all are one cell.

    Args:
        generated: Features (n, d), and distances (n,) to the nearest training picture.
        held_out: The same for real pictures that were not trained on.
        training: Features (k, d).
        seed: Of k-means.
    """
    cells = min(_MOST_CELLS, min(len(training), len(held_out[0])) // _PER_CELL)
    if cells < 2:
        return mann_whitney_z(generated[1], held_out[1])
    training, generated_points, held_out_points = _principal(training, generated[0], held_out[0])
    centres = k_means(training, cells, Randomness(seed).generator("copying/cells"))
    generated_cell, held_out_cell = (
        torch.cdist(points, centres).argmin(dim=1) for points in (generated_points, held_out_points)
    )
    total, weight = 0.0, 0
    for cell in range(cells):
        ours = generated[1][generated_cell == cell]
        theirs = held_out[1][held_out_cell == cell]
        if min(len(ours), len(theirs)) >= _LEAST_IN_CELL:
            total += mann_whitney_z(ours, theirs) * len(theirs)
            weight += len(theirs)
    return total / weight if weight else mann_whitney_z(generated[1], held_out[1])


def k_means(points: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Return ``count`` centres (count, d) of ``points`` (n, d), float64, after 25 rounds.

    Source: Lloyd 1982, started as Arthur and Vassilvitskii 2007 do. A centre without points stays.
    """
    first = torch.randint(len(points), (1,), generator=rng)
    centres = points[first]
    while len(centres) < count:
        squared = torch.cdist(points, centres).amin(dim=1) ** 2
        weights = squared if bool(squared.sum() > 0) else torch.ones_like(squared)
        centres = torch.cat([centres, points[torch.multinomial(weights, 1, generator=rng)]])
    for _ in range(_ROUNDS):
        nearest = torch.cdist(points, centres).argmin(dim=1)
        members = torch.nn.functional.one_hot(nearest, count).double()
        sizes = members.sum(dim=0)[:, None]
        centres = torch.where(sizes > 0, members.T @ points / sizes.clamp(min=1), centres)
    return centres


def _principal(training: Tensor, *others: Tensor) -> list[Tensor]:
    """Return all (., d) in the at most 64 principal components of ``training``, float64."""
    centre = training.double().mean(dim=0)
    centred = training.double() - centre
    _, axes = torch.linalg.eigh(centred.T @ centred)  # by growing variance
    axes = axes[:, -min(_DIMENSIONS, axes.shape[1]) :]
    return [(points.double() - centre) @ axes for points in (training, *others)]
