"""Which real pictures a generator cannot have by heart: those that it was not trained on.

A picture counts as trained on if it is equal to a training picture, mirrored or not, or the same
one stored in another way: in another size, or compressed. n, k: pictures; c, h, w: of each.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.checkpoints import checksum
from graftgan.core.errors import ScoreError
from graftgan.core.tensors import PictureBytes
from graftgan.metrics import LEAST_HELD_OUT
from graftgan.pictures import ImageSet, contents_of, first_of_each

_THUMBNAIL = 16  # pixels
_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, as JPEG has it
_SAME_LUMA = 4.0  # of 255: root mean square difference in luma of two thumbnails of one picture
_SAME_COLOURS = 24.0  # and in all channels, since JPEG and WebP keep colours at half the size
_LUMA_OF_USUAL = 1 / 16  # and no more than this part of what two training pictures differ by
_COLOURS_OF_USUAL = 1 / 4
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

    @property
    def checksum(self) -> str:
        """Of the pictures, as the card of a run has it."""
        return checksum({"reference": self.pictures})


def trained_on(pictures: PictureBytes, training: PictureBytes) -> Tensor:
    """Return which of ``pictures`` (n) are among the training pictures (k), bool (n,).

    Two thumbnails of 16 px that differ by less than four grey levels in luma, and by less than
    24 in all channels, are of one picture. In luma, those of one stored in two ways differ by less
    than 2.5 on real sets, down to JPEG of quality 40, and those of different ones by 15 and more;
    in all channels by up to 15 where colours are saturated, and by 22 and more. Where all training
    pictures look alike, the limits are parts of what two of them usually differ by.
    """
    known = set(contents_of(training))
    found = torch.tensor([content in known for content in contents_of(pictures)], dtype=torch.bool)
    theirs = _thumbnails(training)
    limits = _Limits.among(theirs)
    parts = _thumbnails(pictures).split(_ROWS)
    return found | torch.cat([_alike(ours, theirs, limits).any(dim=1) for ours in parts])


def distinct(pictures: PictureBytes) -> PictureBytes:
    """Return the pictures without those that are equal to an earlier one, or mirrored."""
    first = first_of_each(contents_of(pictures))
    return pictures if len(first) == len(pictures) else pictures[first]


def told_apart(pictures: PictureBytes) -> PictureBytes:
    """Return the pictures without those that are an earlier one, in whatever way it is stored.

    A copy of a picture that is there twice resembles two, and so looks like no copy.
    """
    once = distinct(pictures)
    thumbnails = _thumbnails(once)
    limits = _Limits.among(thumbnails)
    kept = torch.ones(len(once), dtype=torch.bool)
    for first in range(0, len(once), _ROWS):
        end = min(first + _ROWS, len(once))
        earlier = _alike(thumbnails[first:end], thumbnails[:end], limits).tril(first - 1)
        for row in earlier.any(dim=1).nonzero().flatten().tolist():
            kept[first + row] = not (earlier[row] & kept[:end]).any()
    return once if kept.all() else once[kept]


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
            "training pictures, perhaps stored in another way; too few are left to score against: "
            "remove doubled pictures, or hold more out"
        )
    note = (
        f"{left_out} of {len(images.held_out)} pictures held out are equal to others or to "
        "training pictures, perhaps stored in another way, and are not scored against"
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


def _luma(thumbnails: Tensor) -> Tensor:
    """Return the luma of thumbnails (n, c, h, w) in grey levels, float32 (n, h * w)."""
    if thumbnails.shape[1] == 1:
        return thumbnails.flatten(1)
    return torch.einsum("nchw,c->nhw", thumbnails, torch.tensor(_LUMA)).flatten(1)


@dataclass(frozen=True, slots=True)
class _Limits:
    """Up to which root mean square differences two thumbnails are of one picture."""

    luma: float
    colours: float

    @classmethod
    def among(cls, thumbnails: Tensor) -> "_Limits":
        """Return those for pictures with such thumbnails (k, c, h, w)."""
        return cls(
            _limit(_luma(thumbnails), _SAME_LUMA, _LUMA_OF_USUAL),
            _limit(thumbnails.flatten(1), _SAME_COLOURS, _COLOURS_OF_USUAL),
        )


def _limit(rows: Tensor, most: float, of_usual: float) -> float:
    some = rows[:: max(1, len(rows) // _SAMPLE)]
    if len(some) < 2:
        return most
    return min(most, of_usual * float(torch.pdist(some).median()) / rows.shape[1] ** 0.5)


def _alike(ours: Tensor, theirs: Tensor, limits: _Limits) -> Tensor:
    """Return which of ``ours`` (n, c, h, w) are of one picture with which of ``theirs``.

    That is bool (n, k); a picture and its mirror image are one.
    """
    found = torch.zeros((len(ours), len(theirs)), dtype=torch.bool)
    for view in (theirs, theirs.flip(3)):
        alike = _differences(_luma(ours), _luma(view)) < limits.luma
        some = alike.any(dim=1)
        colours = _differences(ours[some].flatten(1), view.flatten(1)) < limits.colours
        found[some] |= alike[some] & colours
    return found


def _differences(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the root mean square difference of each two rows of (n, d) and (k, d): (n, k)."""
    return torch.cdist(ours, theirs) / ours.shape[1] ** 0.5
