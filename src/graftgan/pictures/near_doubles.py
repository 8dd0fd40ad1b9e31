"""Find near-doubles: versions of one picture that differ only in storage or presentation.

They may be compressed, resized, cropped by a few pixels, reduced to few colours or to gray, a
little brighter or darker, mirrored, or turned by 90, 180 or 270 degrees. Pictures are compared as
thumbnails of their luma, normalised in mean and contrast. n, k: pictures; m: pairs of them;
c, h, w: of a picture; f: frequencies of each axis.
"""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from graftgan.core.network_types import PictureBytes

_SIDE, _KEPT = 16, 10  # pixels of a thumbnail, and the frequencies of each axis that are kept
_SMOOTH = 5.0  # frequency at which their weight falls: a slight crop shifts sharp detail
_LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue, as in JPEG
_FLAT = 1.0  # gray levels: pictures whose luma varies by less are not compared
_DETAIL = 0.05  # of the contrast: the smallest slope of a thumbnail that counts as detail
_DRAWING = 0.8  # share of a picture with detail: drawings have less, photographs more
_NEIGHBOUR = 3  # the neighbour whose distance is the usual one of different pictures
_CANDIDATES = 5  # neighbours that are compared closely
_GRAY = 3.0  # the highest root mean square chroma of a gray picture, of 255
_COLOURS = 24.0  # root mean square difference in chroma, if neither is gray
_BRIGHTER, _GRAY_BRIGHTER = 48.0, 16.0  # gray levels; the second if one is gray
_CONTRAST, _GRAY_CONTRAST = 1.5, 1.2  # ratios
_SHIFT = 1.5  # pixels of a thumbnail by which its edges may move
_PAIRS = 2**24  # compared at a time

# Near-doubles differ by less than a share of the usual distance (to the third nearest picture) and
# less than a limit, or by next to nothing; in shares of the contrast. In sets of 12 to 5,000 other
# cats, faces, anime faces, rooms and pictures of CIFAR-10 differ by more than 0.35 of the usual,
# digits of MNIST and drawings of DiceBear by more than 0.2.
_PHOTOGRAPHS, _DRAWINGS = (0.35, 0.2), (0.2, 0.1)
_ALWAYS = 0.02


def near_doubles(pictures: PictureBytes) -> list[tuple[int, int]]:
    """Return the pairs of near-doubles among pictures (n, c, h, w), the later one first; sorted.

    They include equal pictures. Each of many versions of one picture is in a pair, but not every
    pair of versions is found.
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
        # Again without those: the neighbours of a version are other versions, so they do not show
        # the usual distance of different pictures.
        is_left = torch.ones(len(kept), dtype=torch.bool)
        is_left[later] = False
        kept = kept[is_left]
    return sorted(found)


def _within(limits: tuple[float, float], apart: Tensor) -> Tensor:
    """Return which of k neighbours are near-doubles of n pictures, by their distances (n, k)."""
    of_usual, most = limits
    usual = apart.sort(dim=1).values[:, min(_NEIGHBOUR, apart.shape[1]) - 1, None]
    return (apart < (of_usual * usual).clamp_max(most)) | (apart < _ALWAYS)


def near_doubles_among(pictures: PictureBytes, others: PictureBytes) -> Tensor:
    """Return which of ``pictures`` (n) are near-doubles of any of ``others`` (k), bool (n,)."""
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

    The distance of the invariant parts of two is a lower bound of their distance in any view.
    """

    luma: Tensor  # without mean and of length 1, (n, 16, 16)
    frequencies: Tensor  # the same smoothed, of length 1, (n, f, f)
    invariant: Tensor  # what mirroring and turning do not change in them, (n, f * f)
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
        """Return m of the smoothed thumbnails, (m, 16, 16)."""
        return _COSINES.T @ self.frequencies[which] @ _COSINES


def _of_length_1(rows: Tensor) -> Tensor:
    return rows / rows.flatten(1).norm(dim=1).clamp_min(1e-6)[:, None, None]


def _found(ours: _Thumbnails, theirs: _Thumbnails) -> tuple[Tensor, Tensor]:
    """Return the indices of near-doubles, (m,) each; no picture is paired with itself."""
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
    """Return the pairs with near neighbours that are near-doubles, as indices (m, 2).

    A row of ``own`` and ``which`` (n, k) is one picture and its k neighbours. Drawings resemble
    each other without their details, so they are compared sharp and not aligned.
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
    """Return in which of eight views the other of m thumbnails is most like the wanted one, (m,).

    View ``4 * turned + 2 * upside_down + mirrored`` transposes before it mirrors. Frequencies
    (m, f, f) are compared.
    """
    mirrorings = _MIRRORINGS.flatten(1).T
    products = [(wanted * turned).flatten(1) @ mirrorings for turned in (other, other.mT)]
    return torch.cat(products, dim=1).argmax(dim=1)


def _turned(pictures: Tensor, view: Tensor) -> Tensor:
    """Return m pictures (..., s, s), each turned and mirrored to its view."""
    turned = pictures.clone()
    for number in view.unique().tolist():
        some = pictures[view == number]
        some = some.mT if number & 4 else some
        axes = [axis for axis, bit in ((-2, 2), (-1, 1)) if number & bit]
        turned[view == number] = some.flip(axes)
    return turned


def _apart_aligned(wanted: Tensor, other: Tensor) -> Tensor:
    """Return the difference of m pairs of thumbnails in shares of the contrast, (m,).

    It is the residual after fitting the other in brightness and contrast, and in the shift and
    scale of a small crop, by its slopes, to first order.
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
