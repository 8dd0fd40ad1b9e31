"""The settings of a collection: how many pictures, how politely, within which limits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from graftgan.core.errors import SettingsError
from graftgan.core.registry import NamesDoc
from graftgan.core.settings import require_range

LICENCES = ("cc0", "pdm", "by", "by-sa", "by-nc", "by-nd", "by-nc-sa", "by-nc-nd")


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectSettings:
    """What to collect and how."""

    count: int | None = None
    """Number of pictures of each source, including those already there; default: all."""
    licence: Annotated[
        tuple[str, ...], NamesDoc("Only these: {}. For openverse: and commons:.", LICENCES)
    ] = ()
    every: float = 1.0
    """Seconds between two frames of a video."""
    through: Literal["gallery-dl", "instaloader"] = "gallery-dl"
    """The program that lists a hashtag."""
    cookies: Path | None = None
    """The cookies.txt of your own login, for sites that require one."""
    gallery_config: Path | None = None
    """A configuration file for gallery-dl in addition to your own."""
    pause: float = 0.5
    """Seconds between the starts of two requests to one host; doubled before each retry of a
    failed request."""
    connections: int = 4
    """Number of parallel downloads."""
    tries: int = 4
    """Requests for one picture before it is refused."""
    largest_mb: float = 50.0
    """Largest file in megabytes; larger ones are refused."""
    seconds: float = 120.0
    """Seconds that one answer may take in all."""
    silence: float = 20.0
    """Seconds without a byte after which a connection is given up."""
    retry_refused: bool = False
    """Try refused addresses again if the reason may have passed."""
    robots: bool = True
    """Respect robots.txt for the addresses of a list."""
    allow_private: bool = False
    """Allow names and redirects to private addresses, such as a server in your own network."""
    contact: str | None = None
    """Your e-mail or web address for site owners, sent in the User-Agent; or $GRAFTGAN_CONTACT.
    Wikimedia asks for one."""
    openverse_api: str = "https://api.openverse.org"
    """The Openverse server; $OPENVERSE_TOKEN is its access token, if you have one."""
    commons_api: str = "https://commons.wikimedia.org/w/api.php"
    """The MediaWiki API for commons:, which may be another wiki's."""

    def __post_init__(self) -> None:
        """Refuse a number that is out of range, and a licence that is unknown."""
        require_range(self, "at least 1", "connections", "tries", "count")
        require_range(self, "finite and not negative", "pause")
        require_range(self, "finite and positive", "largest_mb", "seconds", "silence", "every")
        unknown = [code for code in self.licence if code not in LICENCES]
        if unknown:
            raise SettingsError(f"no licence '{unknown[0]}'; choose from: {', '.join(LICENCES)}")

    @property
    def largest_bytes(self) -> int:
        """The largest file that is kept, in bytes."""
        return int(self.largest_mb * 1_000_000)
