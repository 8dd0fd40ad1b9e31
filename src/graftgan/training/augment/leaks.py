"""Has an augmentation leaked? Look for marks in generated pictures that the real ones do not have.

Padding and rotation put black strips and corners into what the discriminator sees, and a
generator trained on a small set learns to draw them (seen in our own first runs, with DiffAugment's
zero padding and 100 pictures). Changes of colour and quarter turns can be learned the same way
(Karras et al. 2020, arXiv:2006.06676, section 2.2).
Our own operations reflect at borders; imported sources and other tools' pictures may not.
"""

from dataclasses import dataclass

from torch import Tensor

from graftgan.core.errors import ImageSetError
from graftgan.core.proportions import clearly_more
from graftgan.core.tensors import PictureBytes
from graftgan.training.augment.leak_signs import has_dark_border, has_strange_colours, is_turned

_STANDARD_ERRORS = 2.128  # one-sided 95 % over three signs: 1.67 % each (Bonferroni)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakSign:
    """How many pictures bear one mark of an augmentation.

    Attributes:
        name: What it is, such as "dark borders".
        clause: What such a picture does, after "of 64 generated pictures".
        advice: Where else to look, as an order.
        real_count: Real pictures looked at.
        real_marked: Those that bear the mark.
        generated_count: Generated pictures looked at.
        generated_marked: Those that bear the mark.
    """

    name: str
    clause: str
    advice: str
    real_count: int
    real_marked: int
    generated_count: int
    generated_marked: int

    @property
    def real_share(self) -> float:
        """Share of the real pictures that bear the mark."""
        return self.real_marked / self.real_count

    @property
    def generated_share(self) -> float:
        """Share of the generated pictures that bear the mark."""
        return self.generated_marked / self.generated_count

    @property
    def seen(self) -> bool:
        """Whether generated pictures bear the mark clearly more often than real ones.

        Clearly: the excess passes 5 percentage points and what chance would give equal sets; in 95
        of 100 pairs of equal sets none of the three signs is seen. The standard error is that of
        Agresti and Caffo 2000, sound for a few pictures too.
        """
        return clearly_more(
            self.generated_share,
            self.generated_count,
            self.real_share,
            self.real_count,
            standard_errors=_STANDARD_ERRORS,
        )

    def counts(self) -> str:
        """Return what was counted, without a verdict."""
        return (
            f"{self.generated_marked} of {self.generated_count} generated pictures "
            f"({self.generated_share:.0%}) {self.clause}, against {self.real_marked} of "
            f"{self.real_count} real ones ({self.real_share:.0%})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
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
    def signs(self) -> tuple[LeakSign, LeakSign, LeakSign]:
        """All three."""
        return self.borders, self.colours, self.turns

    @property
    def real_count(self) -> int:
        """Real pictures looked at."""
        return self.borders.real_count

    @property
    def real_dark(self) -> int:
        """Real pictures with a dark border."""
        return self.borders.real_marked

    @property
    def real_share(self) -> float:
        """Share of real pictures with a dark border."""
        return self.borders.real_share

    @property
    def generated_count(self) -> int:
        """Generated pictures looked at."""
        return self.borders.generated_count

    @property
    def generated_dark(self) -> int:
        """Generated pictures with a dark border."""
        return self.borders.generated_marked

    @property
    def generated_share(self) -> float:
        """Share of generated pictures with a dark border."""
        return self.borders.generated_share

    @property
    def leaking(self) -> bool:
        """Whether any of the signs is seen."""
        return any(sign.seen for sign in self.signs)

    def message(self, *, augmented: bool = True) -> str:
        """Return one line: what was counted, which signs were seen, and what to do about it.

        Args:
            augmented: Whether the generator was trained with any, which could have leaked.
        """
        seen = [sign for sign in self.signs if sign.seen]
        if not seen:
            counts = "; ".join(sign.counts() for sign in self.signs)
            return f"{counts}: no sign that an augmentation leaks"
        counts = "; ".join(sign.counts() for sign in seen)
        names, advice = (
            ", ".join(part)
            for part in ([sign.name for sign in seen], [sign.advice for sign in seen])
        )
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

    Colours and turns are judged against the real pictures themselves, and the real ones each
    against all the others. With a single real picture only borders are judged.

    Args:
        real: uint8 (n, c, h, w). About 100 are enough; of each set at most 1024 are turned.
        generated: uint8 (m, c, h, w); another size or number of channels is no obstacle.

    Raises:
        ImageSetError: One of the two sets is empty.
    """
    for name, pictures in (("real", real), ("generated", generated)):
        if len(pictures) == 0:
            raise ImageSetError(f"a leak report needs pictures, but there are no {name} ones")
    return LeakReport(
        borders=_sign(
            "dark borders",
            "have a dark border",
            "look for borders in the source's samples",
            (has_dark_border(real), has_dark_border(generated)),
        ),
        colours=_sign(
            "strange colours",
            "have colours strange to the set",
            "see whether these are the source's colours, which more training removes",
            has_strange_colours(real, generated),
        ),
        turns=_sign(
            "turned pictures",
            "resemble a real one more once turned",
            "look for turned pictures in the source's samples",
            is_turned(real, generated),
        ),
    )


def _sign(name: str, clause: str, advice: str, marked: tuple[Tensor, Tensor]) -> LeakSign:
    """Count ``marked``, a truth per real and per generated picture."""
    real, generated = marked
    return LeakSign(
        name=name,
        clause=clause,
        advice=advice,
        real_count=len(real),
        real_marked=int(real.sum()),
        generated_count=len(generated),
        generated_marked=int(generated.sum()),
    )
