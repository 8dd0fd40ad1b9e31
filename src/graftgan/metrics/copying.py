"""The copy guard: does a generator reproduce its training pictures?

Everything here is based on nearest-neighbour distances between features. Scores alone can mislead:
look at the gallery of :func:`copy_gallery_indices` as well.
n: generated pictures, k: training pictures, d: features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from graftgan.core.errors import ScoreError
from graftgan.core.network_types import PictureBytes
from graftgan.core.randomness import Randomness, clearly_more, some_of
from graftgan.metrics.metric import Estimate, Features, Resampling

LEAST_HELD_OUT = 5
LEAST_TRAINING = 3
MOST_TRAINING = 5_000
"""A larger training set is represented by this many random pictures."""
_LOW_QUANTILE = 0.05  # of the distances of held-out pictures
_NEAR = 0.5  # near copies are closer than this share of that quantile
_SINGLED_OUT = 0.8  # nearest distance over the next picture's; new pictures' median is above 0.9
# Of different pictures, held out of 40 to 300, up to 35 % are singled out: drawings of one style
# most often, MNIST digits up to 26 %, photographs up to 5 %.
_BY_CHANCE = 0.35
_STANDARD_ERRORS = 1.960  # one-sided 95 % for two criteria: 2.5 % each (Bonferroni)
_EQUAL = 1e-4  # of the median distance to the mean: closer features are of equal pictures
_ROWS = 512  # pictures compared at a time, to bound the memory


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """How close generated pictures are to the training pictures, and the same for held-out ones.

    Held-out pictures are real and were not trained on; they show what is expected without copying.
    """

    generated_count: int
    training_count: int
    held_out_count: int
    generated_distance: float  # median of the distances to the nearest training picture
    held_out_distance: float
    # Share of pictures closer to a training picture than half of the 5 % quantile of the distances
    # of held-out pictures.
    near_copy_share: Estimate
    near_copy_share_held_out: Estimate
    # Share of pictures whose nearest training picture is less than 0.8 as far as the next one that
    # is not a near copy of it.
    singled_out_share: Estimate
    singled_out_share_held_out: Estimate
    singled_out_training: int  # different training pictures that generated pictures single out

    @property
    def copying(self) -> bool:
        """Whether significantly more generated than held-out pictures look like copies.

        Copies are near copies, or pictures that single out a training picture (at least two
        different ones in all: a generator that collapsed to one new picture may single out one by
        chance). Significance is that of ``clearly_more``, which also holds for few held-out
        pictures.

        Tuned on real faces, cats, rooms and drawings of 64 px: near copies alone miss blurred,
        shifted or compressed training pictures, which singling out finds.
        """
        near = self._clearly_more(self.near_copy_share, self.near_copy_share_held_out)
        singled = self._clearly_more(self.singled_out_share, self.singled_out_share_held_out)
        return near or (singled and self.singled_out_training > 1)

    @property
    def contaminated(self) -> bool:
        """Whether held-out pictures single out training pictures more often than by chance.

        Then some of them are duplicates of training pictures and cannot serve as a comparison.
        """
        held_out = (self.singled_out_share_held_out.value, self.held_out_count)
        chance = (_BY_CHANCE, self.training_count)
        return clearly_more(*held_out, *chance, standard_errors=_STANDARD_ERRORS)

    def message(self) -> str:
        """Return one line with the counts, the verdict and what to do about it."""
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
    """Return the training pictures that the copy guard uses: all, or a random 5,000.

    Copies of pictures that are left out are not found.
    """
    return some_of(training, MOST_TRAINING, Randomness(seed).generator("copy guard"))


def copy_report(
    generated: Features,
    training: Features,
    held_out: Features,
    *,
    mirrored: Features | None = None,
    resampling: Resampling | None = None,
) -> CopyReport:
    """Compare generated and held-out pictures by their distances to the training pictures.

    A few hundred generated pictures suffice. At least 3 training and 5 held-out pictures are
    needed; from 25 held-out ones the verdict detects a small share of copies. Held-out pictures
    with the features of a training picture are left out. ``mirrored`` are the mirrored training
    pictures in the same order; give them if mirroring was used, since a mirrored copy is a copy
    too. A picture and its mirror image count as one. ``resampling`` is for the intervals. Raises
    ScoreError: too few pictures, or features of different networks.
    """
    _check(generated, training, held_out, mirrored)
    resampling = resampling or Resampling()
    views = _views(training, mirrored)
    held_out = _without_duplicates(held_out, views)
    usual = _distances_to_nearest(held_out.values, views)
    near = _NEAR * float(torch.quantile(usual, _LOW_QUANTILE, interpolation="lower"))
    ours, theirs = (_Neighbours.find(x.values, views, same=near) for x in (generated, held_out))
    singled, share = ours.ratio < _SINGLED_OUT, resampling.mean
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
    )


def copy_gallery_indices(
    generated: Features,
    training: Features,
    count: int,
    *,
    neighbours: int = 3,
    mirrored: Features | None = None,
) -> tuple[Tensor, Tensor]:
    """Choose the generated pictures that look most like copies, and their nearest originals.

    They are ranked by the distance to the nearest training picture over that to the next one.
    Training pictures closer to each other than half their median distance count as one here.
    ``mirrored`` is as in ``copy_report``.

    Returns indices (count,) of generated pictures, most suspicious first, and (count, neighbours)
    of their nearest training pictures, nearest first; fewer if there are fewer. Raises ScoreError:
    too few pictures, or features of different networks.
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
    """The nearest training pictures of n pictures; each field is (n,)."""

    nearest: Tensor  # its index
    distance: Tensor
    between: Tensor  # distance from the nearest training picture to its own nearest neighbour
    ratio: Tensor  # of the distance to that to the next training picture

    @classmethod
    def find(cls, pictures: Tensor, views: list[Tensor], *, same: float) -> "_Neighbours":
        """Find those of pictures (n, d).

        Training pictures within ``same`` of the nearest one are skipped as the next one, since the
        set may hold a picture twice. If all are, the next one is infinitely far.
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
    """Return (n, k), float64: Euclidean distances to the nearer view of each training picture."""
    return torch.stack([torch.cdist(rows.double(), view) for view in views]).amin(dim=0)


def _distances_to_nearest(pictures: Tensor, views: list[Tensor]) -> Tensor:
    return torch.cat([_distances(rows, views).amin(dim=1) for rows in pictures.split(_ROWS)])


def _without_duplicates(held_out: Features, views: list[Tensor]) -> Features:
    distance = _distances_to_nearest(held_out.values, views)
    spread = (views[0] - views[0].mean(dim=0)).norm(dim=1).median()
    new = (distance > _EQUAL * spread).nonzero().flatten()
    if len(new) == len(held_out):
        return held_out
    if len(new) < LEAST_HELD_OUT:
        raise ScoreError(
            f"only {len(new)} of {len(held_out)} held-out pictures differ from all training "
            f"pictures, and a copy report needs at least {LEAST_HELD_OUT}; remove doubled pictures"
        )
    return held_out.subset(new)


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
