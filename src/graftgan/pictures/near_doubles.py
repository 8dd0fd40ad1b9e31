"""Which pictures are near-doubles: one picture, stored or presented in two ways.

Found are those that were compressed, resized, cropped by a few pixels, reduced to few colours or to
gray, made a little brighter or darker, mirrored, or turned by 90, 180 or 270 degrees. They are
compared as thumbnails of their luma, whose mean and contrast do not count. n, k: pictures;
m: pairs of them; c, h, w: of a picture; f: frequencies of each axis.
"""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.core.network_types import PictureBytes

_SIDE, _KEPT = 16, 10  # pixels of a thumbnail, and frequencies of each axis that are kept of it
_SMOOTH = 5.0  # frequency at which their weight falls: sharp detail moves with the slightest crop
_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, as JPEG has it
_FLAT = 1.0  # grey levels: where the luma of a picture varies by less, it tells nothing
_DETAIL = 0.05  # of its contrast: slopes of a thumbnail that are less are no detail
_DRAWING = 0.8  # in less than this part of a drawing is detail; in photographs there is in more
_NEIGHBOUR = 3  # which neighbour says what different pictures there differ by
_CANDIDATES = 5  # neighbours that are looked at closely
_GRAY = 3.0  # root mean square chroma of 255, at most
_COLOURS = 24.0  # root mean square difference in chroma, where neither is gray
_BRIGHTER, _GRAY_BRIGHTER = 48.0, 16.0  # grey levels; where one is gray, which leaves luma alone
_CONTRAST, _GRAY_CONTRAST = 1.5, 1.2  # times
_SHIFT = 1.5  # pixels of a thumbnail that its edges move by at most
_PAIRS = 2**24  # compared at a time


# Near-doubles differ by less than a part of the usual (what the third nearest picture differs by)
# and than a limit, or by next to nothing; in shares of the contrast. In sets of 12 to 5,000 others
# cats, faces, anime faces, rooms and pictures of CIFAR-10 differ by more than 0.35 of the usual,
# digits of MNIST and drawings of DiceBear by more than 0.2.
_PHOTOGRAPHS, _DRAWINGS = (0.35, 0.2), (0.2, 0.1)
_ALWAYS = 0.02


def near_doubles(pictures: PictureBytes) -> list[tuple[int, int]]:
    """Return which two of pictures (n, c, h, w) are near-doubles, the later one first; sorted.

    Equal ones are among them. Of many versions of one picture each is in a pair, but not every two.
    """
    thumbnails, found = _Thumbnails.of(pictures), set[tuple[int, int]]()
    kept = torch.arange(len(pictures))
    for _ in range(2):
        some = thumbnails.some(kept)
        pairs = torch.stack(_found(some, some), dim=1)
        if not len(pairs):
            break
        later, earlier = pairs.amax(dim=1), pairs.amin(dim=1)
        found.update(zip(kept[later].tolist(), kept[earlier].tolist(), strict=True))
        # Once more without those: what a version has beside it else are other versions, which say
        # nothing of how different pictures lie.
        is_left = torch.ones(len(kept), dtype=torch.bool)
        is_left[later] = False
        kept = kept[is_left]
    return sorted(found)


def _within(limits: tuple[float, float], apart: Tensor) -> Tensor:
    """Return which pictures are near-doubles of n, by what k neighbours of each differ by."""
    of_usual, most = limits
    usual = apart.sort(dim=1).values[:, min(_NEIGHBOUR, apart.shape[1]) - 1, None]
    return (apart < (of_usual * usual).clamp_max(most)) | (apart < _ALWAYS)


def near_doubles_among(pictures: PictureBytes, others: PictureBytes) -> Tensor:
    """Return which of ``pictures`` (n) are near-doubles of some of ``others`` (k), bool (n,)."""
    found = torch.zeros(len(pictures), dtype=torch.bool)
    found[_found(_Thumbnails.of(pictures), _Thumbnails.of(others))[0]] = True
    return found


# The orthonormal cosine transform of a row of a thumbnail, (f, 16).
_FREQUENCY, _PLACE = torch.arange(_KEPT)[:, None], torch.arange(_SIDE)
_COSINES = torch.cos(torch.pi * (2 * _PLACE + 1) * _FREQUENCY / (2 * _SIDE)) * (2 / _SIDE) ** 0.5
_COSINES[0] /= 2**0.5
_ODD = (-1.0) ** torch.arange(_KEPT)
_EVEN = _ODD.abs()
# What mirroring does to the frequencies (f, f): up and down, left and right, both.
_MIRRORINGS = torch.stack([y[:, None] * x for y in (_EVEN, _ODD) for x in (_EVEN, _ODD)])
_WEIGHTS = torch.exp(-(torch.arange(_KEPT) ** 2) / (2 * _SMOOTH**2))
_ABOVE = torch.ones(_KEPT, _KEPT).triu(1).bool()


@dataclass(frozen=True, slots=True, eq=False)
class _Thumbnails:
    """What is compared of n pictures.

    What two of them differ by in the part that mirroring and turning leave they differ by at least.
    """

    luma: Tensor  # without mean and of length 1, (n, 16, 16)
    frequencies: Tensor  # the same smoothed, of length 1, (n, f, f)
    invariant: Tensor  # the part of them that mirroring and turning leave as it is, (n, f * f)
    contrast: Tensor  # the standard deviation of the luma in grey levels, (n,)
    mean: Tensor  # of the luma, (n,)
    is_drawing: Tensor  # whether much of it is flat, (n,)
    chroma: Tensor  # colours less luma in 4 x 4 places, (n, c, 4, 4)

    @classmethod
    def of(cls, pictures: PictureBytes) -> "_Thumbnails":
        parts = pictures.split(1024)
        small = torch.cat([F.adaptive_avg_pool2d(part.cpu().float(), _SIDE) for part in parts])
        weights = torch.tensor(_LUMA if small.shape[1] == 3 else (1.0,))
        luma = torch.einsum("nchw,c->nhw", small, weights)
        mean = luma.mean(dim=(1, 2))
        luma = luma - mean[:, None, None]
        down, right = torch.gradient(luma, dim=(1, 2))
        contrast = luma.square().mean(dim=(1, 2)).sqrt()
        is_detail = torch.hypot(down, right) > _DETAIL * contrast[:, None, None]
        rows = _COSINES * _WEIGHTS[:, None]
        frequencies = _of_length_1(rows @ luma @ rows.T)
        sizes = frequencies.abs()
        two = sizes[:, _ABOVE], sizes.mT[:, _ABOVE]  # turning by 90 degrees exchanges them
        diagonal = sizes.diagonal(dim1=1, dim2=2)
        invariant = torch.cat([diagonal, torch.maximum(*two), torch.minimum(*two)], dim=1)
        return cls(
            luma=_of_length_1(luma),
            frequencies=frequencies,
            invariant=invariant,
            contrast=contrast,
            mean=mean,
            is_drawing=is_detail.float().mean(dim=(1, 2)) < _DRAWING,
            chroma=F.adaptive_avg_pool2d(small - (luma + mean[:, None, None])[:, None], 4),
        )

    def some(self, which: Tensor) -> "_Thumbnails":
        return _Thumbnails(*(getattr(self, field.name)[which] for field in fields(self)))

    def smooth(self, which: Tensor) -> Tensor:
        """Return smoothed thumbnails of m of them, (m, 16, 16)."""
        return _COSINES.T @ self.frequencies[which] @ _COSINES


def _of_length_1(rows: Tensor) -> Tensor:
    return rows / rows.flatten(1).norm(dim=1).clamp_min(1e-6)[:, None, None]


def _found(ours: _Thumbnails, theirs: _Thumbnails) -> tuple[Tensor, Tensor]:
    """Return the indices of near-doubles, (m,) each; no picture is its own."""
    count = len(theirs.mean) - (ours is theirs)
    rows = max(1, _PAIRS // max(1, count))
    found = [torch.empty((0, 2), dtype=torch.int64)]
    for first in range(0, len(ours.mean) if count else 0, rows):
        alike = ours.invariant[first : first + rows] @ theirs.invariant.T
        if ours is theirs:
            alike.diagonal(first).fill_(-1)
        which = alike.topk(min(_CANDIDATES, count), dim=1).indices
        own = torch.arange(first, first + len(which))[:, None].expand_as(which)
        found.append(_confirmed(ours, theirs, own, which))
    both = torch.cat(found)
    return both[:, 0], both[:, 1]


def _confirmed(ours: _Thumbnails, theirs: _Thumbnails, own: Tensor, which: Tensor) -> Tensor:
    """Return those of pairs with the nearest pictures that are near-doubles, their indices (m, 2).

    ``own`` and ``which`` (n, k) hold k neighbours of each picture in a row. Drawings are alike in
    the large, so they are compared in all detail, and without being aligned.
    """
    a, b = own.flatten(), which.flatten()
    view = _best_view(ours.frequencies[a], theirs.frequencies[b])
    aligned = _apart_aligned(ours.smooth(a), _turned(theirs.smooth(b), view))
    sharp = (ours.luma[a] - _turned(theirs.luma[b], view)).flatten(1).norm(dim=1)
    drawn = ours.is_drawing[own] | theirs.is_drawing[which]
    as_drawings = _within(_DRAWINGS, sharp.view_as(own))
    alike = torch.where(drawn, as_drawings, _within(_PHOTOGRAPHS, aligned.view_as(own)))
    alike &= (ours.contrast[own] > _FLAT) & (theirs.contrast[which] > _FLAT)
    found = alike.flatten().nonzero().flatten()
    a, b, view = a[found], b[found], view[found]
    return torch.stack([a, b], dim=1)[_same_tones(ours, theirs, a, b, view)]


def _best_view(wanted: Tensor, other: Tensor) -> Tensor:
    """Return in which of eight ways each of m thumbnails is most like the other, (m,).

    Way ``4 * turned + 2 * upside_down + mirrored`` transposes before it mirrors. Frequencies
    (m, f, f) are compared.
    """
    mirrorings = _MIRRORINGS.flatten(1).T
    products = [(wanted * turned).flatten(1) @ mirrorings for turned in (other, other.mT)]
    return torch.cat(products, dim=1).argmax(dim=1)


def _turned(pictures: Tensor, view: Tensor) -> Tensor:
    """Return m pictures (..., s, s), each turned and mirrored as its view says."""
    turned = pictures.clone()
    for number in view.unique().tolist():
        some = pictures[view == number]
        some = some.mT if number & 4 else some
        axes = [axis for axis, bit in ((-2, 2), (-1, 1)) if number & bit]
        turned[view == number] = some.flip(axes)
    return turned


def _apart_aligned(wanted: Tensor, other: Tensor) -> Tensor:
    """Return by what share of its contrast each of m thumbnails differs from the other, (m,).

    That is what remains when the other is made to fit in brightness and contrast, and shifted and
    scaled as a small crop would be; by its slopes, to first order.
    """
    plain = (wanted - other).flatten(1).norm(dim=1)
    down, right = torch.gradient(other, dim=(1, 2))
    place = (torch.arange(_SIDE) - (_SIDE - 1) / 2) / (_SIDE / 2)
    larger = right * place + down * place[:, None]
    parts = torch.stack([other, torch.ones_like(other), right, down, larger], dim=1).flatten(2)
    target = wanted.flatten(1)[:, :, None]
    steady = 1e-6 * torch.eye(parts.shape[1])
    sizes = torch.linalg.solve(parts @ parts.mT + steady, parts @ target)
    rest = (target - parts.mT @ sizes)[:, :, 0].norm(dim=1)
    moved = sizes[:, 2:, 0].abs().amax(dim=1)
    return torch.minimum(plain, rest.where(moved < _SHIFT * sizes[:, 0, 0], torch.inf))


def _same_tones(
    ours: _Thumbnails, theirs: _Thumbnails, own: Tensor, which: Tensor, view: Tensor
) -> Tensor:
    """Return which of m pairs have the same colours, or gray, and nearly the same brightness."""
    brighter = (ours.mean[own] - theirs.mean[which]).abs()
    contrast = (ours.contrast[own] / theirs.contrast[which]).log().abs().exp()
    mine, other = ours.chroma[own], _turned(theirs.chroma[which], view)
    gray = (brighter < _GRAY_BRIGHTER) & (contrast < _GRAY_CONTRAST)
    gray &= torch.minimum(_root_mean_square(mine), _root_mean_square(other)) < _GRAY
    coloured = (brighter < _BRIGHTER) & (contrast < _CONTRAST)
    return gray | coloured & (_root_mean_square(mine - other) < _COLOURS)


def _root_mean_square(values: Tensor) -> Tensor:
    return values.flatten(1).square().mean(dim=1).sqrt()
