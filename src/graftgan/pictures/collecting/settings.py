"""How pictures are collected: how many, how politely, within which limits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from graftgan.core.errors import SettingsError
from graftgan.core.registry import NamesDoc

OPENVERSE_API = "https://api.openverse.org"
COMMONS_API = "https://commons.wikimedia.org/w/api.php"
LICENCES = ("cc0", "pdm", "by", "by-sa", "by-nc", "by-nd", "by-nc-sa", "by-nc-nd")
Through = Literal["gallery-dl", "instaloader"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectSettings:
    """What to collect and how."""

    count: int | None = None
    """Pictures wanted of each source, those already there included; without it, all."""
    licence: Annotated[
        tuple[str, ...], NamesDoc("Only these: {}. For openverse: and commons:.", LICENCES)
    ] = ()
    every: float = 1.0
    """Seconds between two frames of a film."""
    through: Through = "gallery-dl"
    """The program that lists a hashtag."""
    cookies: Path | None = None
    """The cookies.txt of your own login, for sites that want one."""
    gallery_config: Path | None = None
    """A configuration file for gallery-dl beside your own."""
    pause: float = 0.5
    """Seconds between the starts of two requests to one host; doubled each time before a request
    that failed is made again."""
    connections: int = 4
    """Downloads at the same time."""
    tries: int = 4
    """Requests for one picture before it is refused."""
    largest_mb: float = 50.0
    """Megabytes of one file; what is larger is refused."""
    seconds: float = 120.0
    """That one answer may take in all."""
    silence: float = 20.0
    """Seconds without a byte after which a connection is given up."""
    retry_refused: bool = False
    """Try refused addresses again where another day may help."""
    robots: bool = True
    """Ask robots.txt before an address of a list is fetched."""
    allow_private: bool = False
    """Let names and redirects lead to private addresses, such as a server of your own network."""
    contact: str | None = None
    """Your e-mail or web address, which site owners find in the User-Agent; or $GRAFTGAN_CONTACT.
    Wikimedia asks for one."""
    openverse_api: str = OPENVERSE_API
    """The Openverse to ask; $OPENVERSE_TOKEN is its access token, if you have one."""
    commons_api: str = COMMONS_API
    """The MediaWiki API that commons: asks, which may be another wiki's."""

    def __post_init__(self) -> None:
        """Refuse a number that is out of range, and a licence that is unknown."""
        for name in ("connections", "tries", "count"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise SettingsError(f"{name} must be at least 1, got {number}")
        if not 0 <= self.pause < float("inf"):
            raise SettingsError(f"pause must be 0 or more seconds, got {self.pause}")
        for name in ("largest_mb", "seconds", "silence", "every"):
            if not 0 < getattr(self, name) < float("inf"):
                raise SettingsError(f"{name} must be above 0, got {getattr(self, name)}")
        unknown = [code for code in self.licence if code not in LICENCES]
        if unknown:
            raise SettingsError(f"no licence '{unknown[0]}'; choose from: {', '.join(LICENCES)}")

    @property
    def largest_bytes(self) -> int:
        """The bytes of the largest file that is kept."""
        return int(self.largest_mb * 1_000_000)
