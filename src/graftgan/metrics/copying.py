"""The copy guard: does a generator give back its training pictures?

Everything here is a nearest-neighbour distance between features. A score alone can mislead: look
at the gallery of :func:`copy_gallery_indices` as well.
n: generated pictures, k: training pictures, d: features.
"""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.core.network_types import PictureBytes
from graftgan.core.randomness import Randomness, clearly_more, some_of
from graftgan.metrics.metric import Estimate, Features, Resampling

LEAST_HELD_OUT = 5
LEAST_TRAINING = 3
MOST_TRAINING = 5_000
"""Of a larger training set so many pictures, chosen at random, stand for the others."""
_LOW_QUANTILE = 0.05  # of the distances of held-out pictures: as near as honest pictures come
_NEAR = 0.5  # a near copy lies below this part of it
_SINGLED_OUT = 0.8  # nearest distance over the next picture's; new pictures' median is above 0.9
# Of different pictures, held out of 40 to 300, up to 35 % are singled out: drawings of one style
# most, digits of MNIST up to 26 %, photographs up to 5 %.
_BY_CHANCE = 0.35
_STANDARD_ERRORS = 1.960  # one-sided 95 % over two signs: 2.5 % each (Bonferroni)
_EQUAL = 1e-4  # of the usual distance to the mean: nearer features are of equal pictures
_ROWS = 512  # pictures compared at a time, to bound the memory
_DIMENSIONS = 64  # principal components in which the cells are cut
_PER_CELL = 50  # training and held-out pictures that a cell should have
_MOST_CELLS = 10
_LEAST_IN_CELL = 10  # generated and held-out pictures; a cell with fewer is left out
_ROUNDS = 25  # of k-means


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """How near generated and held-out real pictures come to the training pictures.

    What ends in ``held_out`` is the same of held-out pictures: what honest ones score.
    """

    generated_count: int
    training_count: int
    held_out_count: int  # real pictures that were not trained on
    generated_distance: float  # median of the distances to the nearest training picture
    held_out_distance: float
    # Of those nearer to a training picture than half of the lower 5 % quantile of the distances of
    # held-out pictures.
    near_copy_share: Estimate
    near_copy_share_held_out: Estimate
    # Of those whose nearest training picture is less than 0.8 as far as the next one (one that is
    # no near copy of the nearest).
    singled_out_share: Estimate
    singled_out_share_held_out: Estimate
    singled_out_training: int  # different training pictures that generated pictures single out
    # Of those that are farther from their nearest training picture than that is from the nearest
    # other one (AuthPct of Alaa et al. 2022, arXiv:2102.08921, section 4). Differs: a tie is not.
    authentic_share: Estimate
    authentic_share_held_out: Estimate
    c_t: float  # see ``data_copying_test``

    @property
    def copying(self) -> bool:
        """Whether generated pictures are copies clearly more often than held-out ones seem to be.

        Either near copies, or pictures that single out one training picture (at least two
        different ones: a generator collapsed onto one new picture may by chance do so for one).
        Clearly: the excess passes 5 percentage points and what chance would give equal sets, with
        the standard error of Agresti and Caffo 2000, sound for a few held-out pictures too.

        Tuned on real faces, cats, rooms and drawings of 64 px: near copies alone miss training
        pictures that come back blurred, shifted or compressed, which singling out finds. C_T and
        the authentic share are no part of the rule: both also condemn a generator that collapsed
        onto one ordinary new picture, or onto the mean.
        """
        near = self._clearly_more(self.near_copy_share, self.near_copy_share_held_out)
        singled = self._clearly_more(self.singled_out_share, self.singled_out_share_held_out)
        return near or (singled and self.singled_out_training > 1)

    @property
    def contaminated(self) -> bool:
        """Whether held-out pictures single out training pictures more often than chance allows.

        Then they have doubles among these, and copies cannot be told by comparing with them.
        """
        held_out = (self.singled_out_share_held_out.value, self.held_out_count)
        chance = (_BY_CHANCE, self.training_count)
        return clearly_more(*held_out, *chance, standard_errors=_STANDARD_ERRORS)

    def message(self) -> str:
        """Return one line: what was counted, the verdict, and what to do about it."""
        near, singled = self.near_copy_share, self.singled_out_share
        counts = (
            f"of {self.generated_count} generated pictures {near.value:.0%} "
            f"({near.low:.0%} to {near.high:.0%}) are near copies of training pictures and "
            f"{singled.value:.0%} ({singled.low:.0%} to {singled.high:.0%}) resemble a single one "
            f"of {self.training_count}, against {self.near_copy_share_held_out.value:.0%} and "
            f"{self.singled_out_share_held_out.value:.0%} of {self.held_out_count} held-out ones"
        )
        if self.copying:
            return (
                f"{counts}: the generator copies; train for less long, with more augmentation or "
                "with more pictures, and look at the nearest neighbours"
            )
        if self.contaminated:
            return (
                f"{counts}: so many held-out ones have doubles among the training pictures, and "
                "copies cannot be told; remove the doubled pictures, or compare with others"
            )
        return f"{counts}: no sign that the generator copies"

    def _clearly_more(self, generated: Estimate, held_out: Estimate) -> bool:
        counts = (generated.value, self.generated_count, held_out.value, self.held_out_count)
        return clearly_more(*counts, standard_errors=_STANDARD_ERRORS)


def guarded_pictures(training: PictureBytes, *, seed: int) -> PictureBytes:
    """Return the training pictures that the copy guard looks at: all, or 5,000 of them.

    A generator that copies them evenly then shows fewer of its copies, by the share left out.
    """
    return some_of(training, MOST_TRAINING, Randomness(seed).generator("copy guard"))


def copy_report(
    generated: Features,
    training: Features,
    held_out: Features,
    *,
    mirrored: Features | None = None,
    seed: int = 0,
    resampling: Resampling | None = None,
) -> CopyReport:
    """Compare generated and held-out pictures by their distances to the training pictures.

    A few hundred generated pictures suffice. There must be at least 3 training pictures and 5 held
    out, of the same kind; from 25 on the verdict is sensitive to a small share of copies. Held-out
    pictures with the features of a training picture are left out. ``mirrored`` are the training
    pictures mirrored, in the same order; give them where mirroring was used, since a mirrored copy
    is a copy too. A picture and its mirror image count as one. ``seed`` is of the cells of C_T,
    ``resampling`` of the intervals. Raises ScoreError: too few pictures, or features of different
    networks.
    """
    _check(generated, training, held_out, mirrored)
    resampling = resampling or Resampling()
    views = _views(training, mirrored)
    held_out = _honest(held_out, views)
    usual = _distances_to_nearest(held_out.values, views)
    near = _NEAR * float(torch.quantile(usual, _LOW_QUANTILE, interpolation="lower"))
    ours, theirs = (_Neighbours.find(x.values, views, same=near) for x in (generated, held_out))
    singled = ours.ratio < _SINGLED_OUT

    def share(marked: Tensor, role: str) -> Estimate:
        return resampling.mean(marked, role)

    return CopyReport(
        generated_count=len(generated),
        training_count=len(training),
        held_out_count=len(held_out),
        generated_distance=float(ours.distance.median()),
        held_out_distance=float(theirs.distance.median()),
        near_copy_share=share(ours.distance < near, "generated"),
        near_copy_share_held_out=share(theirs.distance < near, "held-out"),
        singled_out_share=share(singled, "generated"),
        singled_out_share_held_out=share(theirs.ratio < _SINGLED_OUT, "held-out"),
        singled_out_training=len(ours.nearest[singled].unique()),
        authentic_share=share(ours.distance > ours.between, "generated"),
        authentic_share_held_out=share(theirs.distance > theirs.between, "held-out"),
        c_t=data_copying_test(
            (generated.values, ours.distance),
            (held_out.values, theirs.distance),
            training.values,
            seed=seed,
        ),
    )


def copy_gallery_indices(
    generated: Features,
    training: Features,
    count: int,
    *,
    neighbours: int = 3,
    mirrored: Features | None = None,
) -> tuple[Tensor, Tensor]:
    """Choose the generated pictures that look most like copies, and what they look like.

    Most like a copy: the smallest distance to the nearest training picture, as a share of that to
    the next one. Training pictures nearer to each other than half their usual distance count as one
    in this. ``mirrored`` is as ``copy_report`` takes it.

    Returns indices (count,) of generated pictures, most suspicious first, and (count, neighbours)
    of their nearest training pictures, nearest first; fewer where there are fewer. Raises
    ScoreError: too few pictures, or features of different networks.
    """
    _check(generated, training, None, mirrored)
    views = _views(training, mirrored)
    between = _Neighbours.find(views[0], views, same=0.0).between
    found = _Neighbours.find(generated.values, views, same=_NEAR * float(between.median()))
    chosen = found.ratio.argsort(stable=True)[:count]
    distances = _distances(generated.values[chosen], views)
    return chosen, distances.argsort(dim=1, stable=True)[:, :neighbours]


@dataclass(frozen=True, slots=True, eq=False)
class _Neighbours:
    """Of each of n pictures, all (n,): the nearest training picture and how it lies."""

    nearest: Tensor  # its index
    distance: Tensor
    between: Tensor  # from it to its own nearest other training picture
    ratio: Tensor  # of the distance to that to the next training picture

    @classmethod
    def find(cls, pictures: Tensor, views: list[Tensor], *, same: float) -> "_Neighbours":
        """Look up all pictures (n, d).

        Training pictures within ``same`` of the nearest one are no next one: the set may hold
        the same picture twice. Where all are, the next one is infinitely far.
        """
        parts: list[tuple[Tensor, ...]] = []
        for rows in pictures.split(_ROWS):
            distances = _distances(rows, views)
            distance, nearest = distances.min(dim=1)
            between = _distances(views[0][nearest], views).scatter(1, nearest[:, None], torch.inf)
            doubles = (between <= same).scatter(1, nearest[:, None], True)
            following = distances.masked_fill(doubles, torch.inf).amin(dim=1)
            ratio = (distance / following).nan_to_num(nan=0.0)  # 0 / 0: exactly alike
            parts.append((nearest, distance, between.amin(dim=1), ratio))
        return cls(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def _distances(rows: Tensor, views: list[Tensor]) -> Tensor:
    """Return (n, k), float64, Euclidean: to each training picture in the view that is nearest."""
    return torch.stack([torch.cdist(rows.double(), view) for view in views]).amin(dim=0)


def _distances_to_nearest(pictures: Tensor, views: list[Tensor]) -> Tensor:
    return torch.cat([_distances(rows, views).amin(dim=1) for rows in pictures.split(_ROWS)])


def _honest(held_out: Features, views: list[Tensor]) -> Features:
    distance = _distances_to_nearest(held_out.values, views)
    spread = (views[0] - views[0].mean(dim=0)).norm(dim=1).median()
    honest = (distance > _EQUAL * spread).nonzero().flatten()
    if len(honest) == len(held_out):
        return held_out
    if len(honest) < LEAST_HELD_OUT:
        raise ScoreError(
            f"only {len(honest)} of {len(held_out)} held-out pictures differ from all training "
            f"pictures, and a copy report needs at least {LEAST_HELD_OUT}; remove doubled pictures"
        )
    return held_out.subset(honest)


def _views(training: Features, mirrored: Features | None) -> list[Tensor]:
    """Return the training pictures as they are and, if given, mirrored; each (k, d), float64."""
    both = [training] if mirrored is None else [training, mirrored]
    return [features.values.double() for features in both]


def _check(
    generated: Features, training: Features, held_out: Features | None, mirrored: Features | None
) -> None:
    counts = [("generated", generated, 1), ("training", training, LEAST_TRAINING)]
    if held_out is not None:
        counts.append(("held-out", held_out, LEAST_HELD_OUT))
    for name, features, least in counts:
        if len(features) < least:
            raise ScoreError(
                f"a copy report needs at least {least} {name} pictures, got {len(features)}"
                + ("; hold more pictures out" if name == "held-out" else "")
            )
    if mirrored is not None and len(mirrored) != len(training):
        raise ScoreError(
            f"expected a mirror image of each of {len(training)} training pictures, "
            f"got {len(mirrored)}"
        )
    everything = [x for x in (generated, training, held_out, mirrored) if x is not None]
    if len({features.dimension for features in everything}) > 1:
        sizes = ", ".join(str(features.dimension) for features in everything)
        raise ScoreError(f"the pictures have {sizes} features; use one feature network for all")


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

    Source: Meehan, Chaudhuri and Dasgupta 2020 (arXiv:2004.05675, section 3): do generated pictures
    lie closer to the training pictures than new real ones do? Far below 0 means copying, far above
    0 a generator that has not reached the data. Differs: the distances are given, so they may be of
    all features while the cells are cut by k-means in 64 principal components; there is one cell
    for every 50 training and held-out pictures, at least one and at most 10; where no cell holds 10
    of both kinds, all are one cell.

    ``generated`` and ``held_out``, real pictures that were not trained on, are features (n, d) and
    distances (n,) to the nearest training picture; ``training`` are features (k, d). ``seed`` is of
    k-means.
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
