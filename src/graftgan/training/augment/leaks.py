"""Leak detection: marks of augmentations in generated pictures that the real ones do not have.

Padding and rotation show the discriminator black strips and corners, and a generator trained on a
small set learns to draw them (as in our first runs, with DiffAugment's zero padding and 100
pictures). Changes of colour and quarter turns can leak the same way (Karras et al. 2020,
arXiv:2006.06676, section 2.2). Our operations reflect at borders; other tools may not.

n: pictures, c: channels, h: height, w: width, k: pixels of a region.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.core.errors import ImageSetError
from graftgan.core.network_types import PictureBytes
from graftgan.core.randomness import clearly_more

DARK = 32.0  # of 255: most for the mean of every channel of a dark region
UNIFORM = 16.0  # of 255: most for the standard deviation in a uniform region
_STRIP = 1 / 32  # width of a border strip, as a share of the side: 2 pixels of 64
_CORNER = 1 / 8  # legs of a corner triangle: 8 pixels of 64
_TURN_SIDE = 16  # pixels a side to which pictures are reduced before they are turned
_COLOUR_SIDE = 4  # and before their colours are measured
_TAILS = 0.005  # share of the real pictures beyond each end of a range: 1 % beyond both
_COLOUR_MARGIN = 10.0  # of 255: a colour must be further out of the range to be strange
_TURN_MARGIN = 0.9  # most for the distance of the turned picture over that of the upright one
_MOST_TURNS = 1024  # pictures of a set that are turned, evenly spaced: more is only slow
_STANDARD_ERRORS = 2.128  # one-sided 95 % over three signs: 1.67 % each (Bonferroni)


def has_dark_border(pictures: PictureBytes) -> Tensor:
    """Return (n,), true for pictures with a uniform dark strip at a side or triangle in a corner.

    A picture that is dark and uniform as a whole has no border.
    """
    values = pictures.float()
    regions = _border_regions(pictures.shape[-2], pictures.shape[-1], pictures.device)
    dark = torch.stack([_is_dark(values[:, :, region]) for region in regions])
    return dark.any(dim=0) & ~_is_dark(values.flatten(start_dim=2))


def has_strange_colours(real: PictureBytes, generated: PictureBytes) -> tuple[Tensor, Tensor]:
    """Return (n_real,) and (n_generated,), true for pictures whose mean colour is out of range.

    Measured are brightness, saturation (highest less lowest channel) and every channel's mean less
    the brightness, which shows a shift of hue in light and dark pictures alike. The range of each
    is that of the real pictures without the half per cent at either end, plus 10 of 255. A real
    picture is compared with the range of all others.

    Limit: a change is not seen if the real pictures already have nearly all colours.
    """
    real_colours, generated_colours = (_mean_colours(pictures) for pictures in (real, generated))
    if len(real) == 1:  # without others there is no range
        return torch.ones(1, dtype=torch.bool), torch.ones(len(generated), dtype=torch.bool)
    beyond = int(_TAILS * len(real))  # pictures beyond each end
    low_of_others, high_of_others = _range(real_colours, beyond + 1)
    real_out = (real_colours < low_of_others) | (real_colours > high_of_others)
    low, high = _range(real_colours, beyond)
    generated_out = (generated_colours < low) | (generated_colours > high)
    return real_out.any(dim=1), generated_out.any(dim=1)


def is_turned(real: PictureBytes, generated: PictureBytes) -> tuple[Tensor, Tensor]:
    """Return (n_real,) and (n_generated,): whether a picture resembles a real one more once turned.

    Each picture is turned by 90, 180 and 270 degrees; it counts if its distance to the nearest real
    picture then falls below 0.9 of the upright distance. A real picture is compared with all
    others. Mirrored real pictures count as real ones, since mirroring may look like a turn. At most
    1024 pictures of a set are used, evenly spaced.
    """
    small, generated_small = (
        _small(pictures[:: -(-len(pictures) // _MOST_TURNS)], _TURN_SIDE)
        for pictures in (real, generated)
    )
    if len(real) == 1:  # it resembles no other
        return torch.ones(1, dtype=torch.bool), torch.ones(len(generated_small), dtype=torch.bool)
    itself, views = torch.eye(len(small), dtype=torch.bool), [small, small.flip(3)]
    of_real = _resembles_turned(small, views, itself)
    return of_real, _resembles_turned(generated_small, views, None)


def _is_dark(values: Tensor) -> Tensor:
    """Return (n,) for the values (n, c, k) of a region: dark and uniform in every channel."""
    deviation, mean = torch.std_mean(values, dim=2, correction=0)
    return ((mean <= DARK) & (deviation <= UNIFORM)).all(dim=1)


def _border_regions(height: int, width: int, device: torch.device) -> list[Tensor]:
    """Return the masks (h, w) of four strips and four corner triangles."""
    y = torch.arange(height, device=device)[:, None].expand(height, width)
    x = torch.arange(width, device=device)[None, :].expand(height, width)
    top, left = y / height, x / width
    bottom, right = (height - 1 - y) / height, (width - 1 - x) / width
    strips = [distance < _STRIP for distance in (top, bottom, left, right)]
    return strips + [y + x < _CORNER for y in (top, bottom) for x in (left, right)]


def _small(pictures: PictureBytes, side: int) -> Tensor:
    """Return (n, 3, side, side), float32 on the CPU in [0, 255]; gray becomes three channels."""
    return F.adaptive_avg_pool2d(pictures.float(), side).cpu().expand(-1, 3, -1, -1)


def _mean_colours(pictures: PictureBytes) -> Tensor:
    """Return (n, 5): brightness, saturation, and every channel's mean less the brightness."""
    small = _small(pictures, _COLOUR_SIDE)
    saturation = (small.amax(dim=1) - small.amin(dim=1)).mean(dim=(1, 2))
    channels = small.mean(dim=(2, 3))
    brightness = channels.mean(dim=1, keepdim=True)
    return torch.cat([brightness, saturation[:, None], channels - brightness], dim=1)


def _range(colours: Tensor, beyond: int) -> tuple[Tensor, Tensor]:
    """Return the ends (5,) of a range with ``beyond`` of the rows beyond each, and a margin."""
    ordered = colours.sort(dim=0).values
    return ordered[beyond] - _COLOUR_MARGIN, ordered[-1 - beyond] + _COLOUR_MARGIN


def _resembles_turned(pictures: Tensor, views: list[Tensor], itself: Tensor | None) -> Tensor:
    """Return (n,) for small pictures (n, 3, 16, 16), compared with ``views`` (m, 3, 16, 16).

    ``itself`` (n, m) is true where a picture and a real one are the same; None where none are.
    """

    def nearest(turns: int) -> Tensor:
        rows = pictures.rot90(turns, dims=(2, 3)).flatten(1)
        distances = torch.stack([torch.cdist(rows, view.flatten(1)) for view in views]).amin(dim=0)
        if itself is not None:
            distances = distances.masked_fill(itself, torch.inf)
        return distances.amin(dim=1)

    turned = torch.stack([nearest(turns) for turns in (1, 2, 3)]).amin(dim=0)
    return turned < _TURN_MARGIN * nearest(0)


class Marked(NamedTuple):
    """How many of ``total`` pictures bear a mark."""

    marked: int
    total: int

    @property
    def share(self) -> float:
        """Share of the pictures that bear the mark."""
        return self.marked / self.total


@dataclass(frozen=True, slots=True)
class LeakSign:
    """How many pictures bear one mark of an augmentation.

    Attributes:
        clause: Completes "9 of 64 generated pictures".
        advice: What else to check, as an imperative.
    """

    name: str
    clause: str
    advice: str
    real: Marked
    generated: Marked

    @property
    def seen(self) -> bool:
        """Whether generated pictures bear the mark clearly more often than real ones.

        Clearly: by more than 5 percentage points and than chance; in 95 of 100 pairs of equal sets
        none of the three signs is seen. The standard error is that of Agresti and Caffo 2000, which
        holds for few pictures too.
        """
        more, less = self.generated, self.real
        return clearly_more(
            more.share, more.total, less.share, less.total, standard_errors=_STANDARD_ERRORS
        )

    def counts(self) -> str:
        """Return what was counted, without a verdict."""
        return (
            f"{self.generated.marked} of {self.generated.total} generated pictures "
            f"({self.generated.share:.0%}) {self.clause}, against {self.real.marked} of "
            f"{self.real.total} real ones ({self.real.share:.0%})"
        )


@dataclass(frozen=True, slots=True)
class LeakReport:
    """Three marks of augmentations, in generated and in real pictures.

    Attributes:
        borders: Uniform dark border strips or corners.
        colours: Mean colours that all but 1 % of the real pictures stay clear of.
        turns: Pictures that resemble a real one more once turned by a quarter or a half.
    """

    borders: LeakSign
    colours: LeakSign
    turns: LeakSign

    @property
    def _seen(self) -> list[LeakSign]:
        return [sign for sign in (self.borders, self.colours, self.turns) if sign.seen]

    @property
    def leaking(self) -> bool:
        """Whether any of the signs is seen."""
        return bool(self._seen)

    def message(self, *, augmented: bool = True) -> str:
        """Return one line: what was counted, which signs were seen, and what to do about it.

        ``augmented``: whether the run had any augmentation that could have leaked.
        """
        seen = self._seen
        counted = seen or (self.borders, self.colours, self.turns)
        counts = "; ".join(sign.counts() for sign in counted)
        if not seen:
            return f"{counts}: no sign that an augmentation leaks"
        names, advice = (", ".join(getattr(s, part) for s in seen) for part in ("name", "advice"))
        if augmented:
            return (
                f"{counts}: an augmentation has leaked into the samples ({names}); lower its "
                f"strength or probability, raise its fade_out, and {advice}"
            )
        return (
            f"{counts}: marks that augmentations leave ({names}), though this run has none; the "
            f"samples may not look like the pictures yet, so train for longer, or {advice}"
        )


def leak_report(real: PictureBytes, generated: PictureBytes) -> LeakReport:
    """Compare how often generated and real pictures bear the marks of augmentations.

    For colours and turns, a real picture is compared with all other real ones; with a single real
    picture only borders are found. Raises ImageSetError where a set is empty.

    Args:
        real: uint8 (n, c, h, w). About 100 are enough; of each set at most 1024 are turned.
        generated: uint8 (m, c, h, w); may differ in size and number of channels.
    """
    for name, pictures in (("real", real), ("generated", generated)):
        if len(pictures) == 0:
            raise ImageSetError(f"a leak report needs pictures, but there are no {name} ones")

    borders = (has_dark_border(real), has_dark_border(generated))
    advice = "look for borders in the source's samples"
    return LeakReport(
        _sign("dark borders", "have a dark border", advice, borders),
        _sign(
            "strange colours",
            "have colours strange to the set",
            "see whether these are the source's colours, which more training removes",
            has_strange_colours(real, generated),
        ),
        _sign(
            "turned pictures",
            "resemble a real one more once turned",
            "look for turned pictures in the source's samples",
            is_turned(real, generated),
        ),
    )


def _sign(name: str, clause: str, advice: str, marked: tuple[Tensor, Tensor]) -> LeakSign:
    """Count ``marked``, one truth value for each real and for each generated picture."""
    counted = (Marked(int(truths.sum()), len(truths)) for truths in marked)
    return LeakSign(name, clause, advice, *counted)
