"""What a person can set about their pictures."""

from dataclasses import dataclass
from typing import Literal

from graftgan.core.errors import SettingsError
from graftgan.core.settings import strict


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """How a folder, zip or npz of pictures becomes an image set.

    Attributes:
        channels: 3 for colour, 1 for grey; without it the source's, or 3.
        limit: Use only this many pictures, chosen by the seed; all of them if not set.
        labels: ``folders``: the folder of a picture is its class; without it there are no classes.
        held_out: Share of the pictures kept out of training, from 0 to below 1, by the seed.
        minimum_side: Skip pictures with a side of fewer pixels than this.
        memory_limit_mb: A set that needs more memory than this is mapped from the cache on disk.
    """

    channels: int | None = None
    limit: int | None = None
    labels: Literal["folders"] | None = None
    held_out: float = 0.0
    minimum_side: int = 16
    memory_limit_mb: int = 2048

    def __post_init__(self) -> None:
        if self.channels not in (None, 1, 3):
            raise SettingsError(f"channels must be 1 (grey) or 3 (colour), got {self.channels}")
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"limit must be at least 1, got {self.limit}")
        if not 0 <= self.held_out < 1:
            raise SettingsError(f"held_out must be from 0 to below 1, got {self.held_out}")
        if self.minimum_side < 1:
            raise SettingsError(f"minimum_side must be at least 1, got {self.minimum_side}")
        if self.memory_limit_mb < 0:
            raise SettingsError(f"memory_limit_mb must not be negative, got {self.memory_limit_mb}")
