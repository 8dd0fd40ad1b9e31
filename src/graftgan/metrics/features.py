"""What a feature network makes of a set of pictures."""

from dataclasses import dataclass

import torch
from torch import Tensor

from graftgan.core.errors import ScoreError

KeyPart = str | int | float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """One row per picture.

    Attributes:
        values: (n, d), float32 on the CPU.
        logits: (n, classes) of the same network's classifier; None where it has none.
        detail: (n, 2), the grain and the sharpness of the pictures themselves; None where these
            are not known.
        sha256: Of the pictures they were made from, in their order.
        key: What decides these rows, network included, so that what follows from them can be
            kept too; empty where nothing should be kept.

    Raises:
        ScoreError: A value is not finite.
    """

    values: Tensor
    logits: Tensor | None
    sha256: str
    key: tuple[KeyPart, ...] = ()
    detail: Tensor | None = None

    def __post_init__(self) -> None:
        for rows in (self.values, self.logits):
            if rows is not None and not bool(torch.isfinite(rows).all()):
                bad = int((~torch.isfinite(rows)).any(dim=1).sum())
                raise ScoreError(
                    f"the feature network gave not-a-number for {bad} of {len(rows)} pictures; "
                    "check its weights, and that it takes pictures in this range and size"
                )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dimension(self) -> int:
        """Features per picture."""
        return self.values.shape[1]

    def subset(self, chosen: Tensor) -> "Features":
        """Return the rows of the indices ``chosen`` (m,)."""
        logits = None if self.logits is None else self.logits[chosen]
        detail = None if self.detail is None else self.detail[chosen]
        return Features(
            values=self.values[chosen], logits=logits, sha256=self.sha256, detail=detail
        )
