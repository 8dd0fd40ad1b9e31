"""Which real pictures a generator cannot have by heart: those that it was not trained on.

A picture counts as trained on if it is equal to a training picture, mirrored or not, or the same
one stored in another way: in another size, or compressed. n, k: pictures; c, h, w: of each.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.data import ImageSet, contents_of, first_of_each
from graftgan.errors import ScoreError
from graftgan.metrics import LEAST_HELD_OUT
from graftgan.tensors import PictureBytes

_THUMBNAIL = 16  # pixels
_SAME_PICTURE = 4.0  # of 255: root mean square difference of two thumbnails of one picture
_OF_USUAL = 1 / 16  # and no more than this part of the usual difference of two training pictures
_SAMPLE = 500  # training pictures that the usual difference is taken from
_LEAST = 2  # pictures to score against at all
_ROWS = 1024  # compared at a time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """Real pictures to score against, each of them once.

    Attributes:
        pictures: uint8 (n, c, h, w).
        notes: What was left out, and why.
        rewards_copying: Whether these are the training pictures themselves.
    """

    pictures: PictureBytes
    notes: tuple[str, ...] = ()
    rewards_copying: bool = False


def trained_on(pictures: PictureBytes, training: PictureBytes) -> Tensor:
    """Return which of ``pictures`` (n) are among the training pictures (k), bool (n,).

    Two thumbnails of 16 px that differ by less than four grey levels are of one picture: on real
    sets those of one stored in two ways differ by less than two, those of different ones by eight
    and more. Where all training pictures look alike, the limit is a sixteenth of what two of them
    usually differ by.
    """
    known = set(contents_of(training))
    equal = torch.tensor([content in known for content in contents_of(pictures)], dtype=torch.bool)
    ours, theirs = _thumbnails(pictures), _thumbnails(training)
    views = [view.flatten(1) for view in (theirs, theirs.flip(3))]
    nearest = [
        torch.stack([torch.cdist(rows, view).amin(dim=1) for view in views]).amin(dim=0)
        for rows in ours.flatten(1).split(_ROWS)
    ]
    difference = torch.cat(nearest) / views[0].shape[1] ** 0.5
    return equal | (difference < _limit(views[0]))


def distinct(pictures: PictureBytes) -> PictureBytes:
    """Return the pictures without those that are equal to an earlier one, or mirrored."""
    first = first_of_each(contents_of(pictures))
    return pictures if len(first) == len(pictures) else pictures[first]


def honest_pictures(images: ImageSet) -> PictureBytes:
    """Return the held-out pictures of a run that are none of its training pictures, each once."""
    held_out = distinct(images.held_out)
    return held_out[~trained_on(held_out, images.pictures)] if len(held_out) else held_out


def held_out_reference(images: ImageSet) -> Reference:
    """Return the held-out pictures of a run to score against.

    Raises:
        ScoreError: Hardly any is different from all training pictures.
    """
    honest = honest_pictures(images)
    left_out = len(images.held_out) - len(honest)
    if not left_out:
        return Reference(pictures=honest)
    if len(honest) < _LEAST:
        raise ScoreError(
            f"{left_out} of {len(images.held_out)} pictures held out are equal to others or to "
            "training pictures, stored in another way, and too few are left to score against; "
            "remove doubled pictures, or hold more out"
        )
    note = (
        f"{left_out} of {len(images.held_out)} pictures held out are equal to others or to "
        "training pictures, stored in another way, and are not scored against"
    )
    return Reference(pictures=honest, notes=(note,))


def reference_among(
    real: PictureBytes, training: PictureBytes | None, *, name: str, training_is_fine: bool
) -> Reference:
    """Return the pictures to score against: those that were not trained on, each once.

    Args:
        real: What was given as the reference.
        training: What the generator was trained on; None: that is not known.
        name: Of the reference, for messages.
        training_is_fine: Whether a reference of training pictures alone is scored against, which
            rewards copying, rather than refused.

    Raises:
        ScoreError: Too few pictures were not trained on.
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


def _thumbnails(pictures: PictureBytes) -> Tensor:
    """Return the pictures at 16 px, float32 (n, c, 16, 16)."""
    parts = pictures.split(_ROWS)
    return torch.cat([F.adaptive_avg_pool2d(part.float(), _THUMBNAIL) for part in parts])


def _limit(thumbnails: Tensor) -> float:
    """Return up to which root mean square difference two thumbnails (k, d) are of one picture."""
    some = thumbnails[:: max(1, len(thumbnails) // _SAMPLE)]
    if len(some) < 2:
        return _SAME_PICTURE
    usual = float(torch.pdist(some).median()) / thumbnails.shape[1] ** 0.5
    return min(_SAME_PICTURE, usual * _OF_USUAL)
