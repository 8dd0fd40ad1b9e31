"""How pictures are collected: how many, how politely, within which limits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from graftgan.core.errors import SettingsError

OPENVERSE_API = "https://api.openverse.org"
COMMONS_API = "https://commons.wikimedia.org/w/api.php"
LICENCES = ("cc0", "pdm", "by", "by-sa", "by-nc", "by-nd", "by-nc-sa", "by-nc-nd")
Through = Literal["gallery-dl", "instaloader"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectSettings:
    """What to collect and how.

    Attributes:
        count: Pictures wanted of each source, those already there included; None: all.
        pause: Seconds between the starts of two requests to one host. Before a request that failed
            is made again it is doubled each time.
        connections: Downloads at the same time.
        largest_mb: Megabytes of one file; what is larger is refused.
        seconds: That one answer may take in all.
        silence: Seconds without a byte after which a connection is given up.
        tries: Requests for one picture before it is refused.
        redirects: Followed for one picture.
        robots: Whether robots.txt is asked before an address of a list is fetched.
        allow_private: Whether names and redirects may lead to private addresses.
        retry_refused: Whether addresses refused earlier are tried again where that may help.
        licence: Codes of the licences wanted, such as ``by`` or ``cc0``; empty: any.
        through: The program that lists a hashtag's pictures.
        cookies: A cookies.txt of the person's own session, for sites that want a login.
        gallery_config: A configuration file for gallery-dl beside the person's own.
        every: Seconds of a film between two frames.
        contact: An e-mail or web address that site owners find in the User-Agent.
        openverse_api: The address of the Openverse API.
        openverse_token: Its access token, which lifts its limits; None: without.
        commons_api: The address of the MediaWiki API that ``commons:`` asks.
    """

    count: int | None = None
    pause: float = 0.5
    connections: int = 4
    largest_mb: float = 50.0
    seconds: float = 120.0
    silence: float = 20.0
    tries: int = 4
    redirects: int = 5
    robots: bool = True
    allow_private: bool = False
    retry_refused: bool = False
    licence: tuple[str, ...] = ()
    through: Through = "gallery-dl"
    cookies: Path | None = None
    gallery_config: Path | None = None
    every: float = 1.0
    contact: str | None = None
    openverse_api: str = OPENVERSE_API
    openverse_token: str | None = None
    commons_api: str = COMMONS_API

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SettingsError: A number is out of range, or a licence is unknown.
        """
        least = {"connections": 1, "tries": 1, "redirects": 0}
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise SettingsError(f"{name} must be at least {minimum}, got {getattr(self, name)}")
        if self.count is not None and self.count < 1:
            raise SettingsError(f"count must be at least 1, got {self.count}")
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
