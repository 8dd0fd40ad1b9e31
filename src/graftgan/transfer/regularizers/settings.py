"""How strongly the target is held to the source, and by what."""

import math
from dataclasses import dataclass, fields

from graftgan.core.errors import SettingsError
from graftgan.core.settings import check_parts, parts_of, strict
from graftgan.transfer.regularizers.regularizer import REGULARIZERS

_PARTS = parts_of({name: known.settings for name, known in REGULARIZERS.items()})


@strict
@dataclass(frozen=True, kw_only=True)
class RegularizerSettings(*_PARTS):  # pyright: ignore[reportUntypedBaseClass]
    """Losses that hold the networks to the source; a weight of 0 leaves one out."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not 0 <= value < math.inf:
                raise SettingsError(f"{field.name} must be finite and not negative, got {value}")
        check_parts(self, _PARTS)
