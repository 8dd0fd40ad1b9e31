"""Real pictures that a generator cannot have memorised: those that it was not trained on.

A picture counts as trained on if it is equal to a training picture, mirrored or not, or a
near-double of one. n, k: pictures; c, h, w: of each.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graftgan.checkpoints import checksum
from graftgan.core.errors import ScoreError
from graftgan.core.network_types import PictureBytes
from graftgan.metrics.copying import LEAST_HELD_OUT
from graftgan.pictures.image_set import ImageSet
from graftgan.pictures.near_doubles import near_doubles, near_doubles_among
from graftgan.pictures.split import contents_of, first_of_each

_LEAST = 2  # pictures to score against at all


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """Real pictures to score against, each once."""

    pictures: PictureBytes  # uint8 (n, c, h, w)
    notes: tuple[str, ...] = ()  # what was left out, and why
    rewards_copying: bool = False  # these are the training pictures themselves

    @property
    def checksum(self) -> str:
        """The checksum of the pictures, as on the card of a run."""
        return checksum({"reference": self.pictures})


def trained_on(pictures: PictureBytes, training: PictureBytes) -> Tensor:
    """Return which of ``pictures`` (n) are among the training pictures (k), bool (n,)."""
    known = set(contents_of(training))
    found = torch.tensor([content in known for content in contents_of(pictures)], dtype=torch.bool)
    return found | near_doubles_among(pictures, training)


def distinct(pictures: PictureBytes) -> PictureBytes:
    """Return the pictures without those that are equal to an earlier one, or mirrored."""
    first = first_of_each(contents_of(pictures))
    return pictures if len(first) == len(pictures) else pictures[first]


def told_apart(pictures: PictureBytes) -> PictureBytes:
    """Return the pictures without those that are equal to an earlier one or a near-double of it.

    A copy of a picture that is in the set twice resembles both, so it would not count as a copy.
    """
    once = distinct(pictures)
    kept = torch.ones(len(once), dtype=torch.bool)
    for later, earlier in near_doubles(once):
        if kept[earlier]:
            kept[later] = False
    return once if kept.all() else once[kept]


def honest_pictures(images: ImageSet) -> PictureBytes:
    """Return the held-out pictures of a run that it was not trained on, each once."""
    held_out = distinct(images.held_out)
    return held_out[~trained_on(held_out, images.pictures)] if len(held_out) else held_out


def held_out_reference(images: ImageSet, *, known: str | None = None) -> Reference:
    """Return the held-out pictures of a run to score against.

    ``known`` is the checksum of the reference of earlier scores of the run. If that had no
    near-doubles left out, none are now, so that scores stay comparable.

    Raises:
        ScoreError: Too few differ from all training pictures.
    """
    if not len(images.held_out):
        raise ScoreError(
            "no picture could be held out to score against: all are the same picture or "
            "near-doubles; add different ones, or give others of the same kind with --reference"
        )
    everything = Reference(pictures=distinct(images.held_out))
    if known is not None and known == everything.checksum:
        return everything
    honest = honest_pictures(images)
    left_out = len(images.held_out) - len(honest)
    if not left_out:
        return Reference(pictures=honest)
    equal = (
        f"{left_out} of {len(images.held_out)} pictures held out are equal to others or to "
        "training pictures, perhaps in another file format"
    )
    if len(honest) < _LEAST:
        raise ScoreError(
            f"{equal}; too few are left to score against: remove doubled pictures, or hold more out"
        )
    return Reference(pictures=honest, notes=(f"{equal}, and are not scored against",))


def reference_among(
    real: PictureBytes, training: PictureBytes | None, *, name: str, training_is_fine: bool
) -> Reference:
    """Return the pictures of ``real`` to score against: those not trained on, each once.

    ``training`` are the training pictures of the generator, or None if they are not known; ``name``
    is that of the reference, for messages. With ``training_is_fine`` a reference of training
    pictures alone is used, though it rewards copying; otherwise it is refused.

    Raises:
        ScoreError: Too few are left.
    """
    once = distinct(real)
    twice = len(real) - len(once)
    notes = (f"{twice} of {len(real)} pictures of {name} are equal to others and count once",)
    reference = Reference(pictures=once, notes=notes if twice else ())
    if training is None:
        return reference
    known = trained_on(once, training)
    seen = int(known.sum())
    if seen == len(once) and training_is_fine:
        warning = (
            f"all {seen} pictures of {name} were trained on: every score rewards copying them; "
            "hold pictures out, or give others of the same kind"
        )
        return replace(reference, notes=(*reference.notes, warning), rewards_copying=True)
    if not seen:
        return reference
    if len(once) - seen < LEAST_HELD_OUT:
        raise ScoreError(
            f"only {len(once) - seen} of {len(once)} pictures of {name} were not trained on, and "
            f"at least {LEAST_HELD_OUT} are needed to score against: give a larger set of the same "
            "kind, or hold pictures out with --held-out 0.2"
        )
    left_out = f"{seen} of {len(once)} pictures of {name} were trained on and are left out of it"
    return replace(reference, pictures=once[~known], notes=(*reference.notes, left_out))
