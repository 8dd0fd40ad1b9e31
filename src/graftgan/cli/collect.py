"""``graftgan collect``."""

import os
import shlex
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from graftgan.cli.arguments import parse_flags
from graftgan.cli.screen import bars_of, console
from graftgan.core.errors import CollectError
from graftgan.core.provenance import licences_in_words
from graftgan.core.untrusted import shown
from graftgan.pictures.collecting import (
    COMMONS_API,
    OPENVERSE_API,
    Collected,
    CollectionProgress,
    CollectSettings,
    Through,
    collect,
    remark_on,
)

DESCRIPTION = """Gather pictures into a folder, and write down where each comes from.

sources:
  instagram:#TAG       public posts with a hashtag, through gallery-dl or Instaloader
  gallery:ADDRESS      any page that gallery-dl knows
  openverse:WORDS      openly licensed pictures, with author and licence
  commons:WORDS        Wikimedia Commons, with author and licence; also commons:Category:NAME
  urls:FILE            the addresses in a text, CSV or JSON-lines file
  video:FILE           frames of a film
  PATH                 a folder, zip or npz, copied without what it holds twice

The same command again goes on where it stopped. Nothing is fetched twice.

examples:
  graftgan collect "openverse:betta fish" "commons:Betta splendens" --count 200 --out raw/
  graftgan collect "instagram:#bettafish" --cookies cookies.txt --count 300
  graftgan collect urls:list.csv video:tank.mp4 --every 2
  graftgan collect urls:list.csv --retry-refused             once more what may work by now
"""

_LINE_S = 20.0  # seconds between two lines of progress where there is no terminal


@dataclass(frozen=True)
class CollectOptions:
    """What to gather, and how."""

    sources: tyro.conf.Positional[tuple[str, ...]]
    """Where from, see above; one after another."""
    out: Path = Path("raw")
    """The folder, new or of an earlier collection."""
    count: int | None = None
    """Pictures wanted of each source, those already there included; without it, all."""
    licence: tuple[str, ...] = ()
    """Only these: cc0, pdm, by, by-sa, by-nc, by-nd, by-nc-sa, by-nc-nd. For openverse: and
    commons:."""
    every: float = 1.0
    """Seconds between two frames of a film."""
    through: Through = "gallery-dl"
    """The program that lists a hashtag."""
    cookies: Path | None = None
    """The cookies.txt of your own login, for sites that want one."""
    gallery_config: Path | None = None
    """A configuration file for gallery-dl beside your own."""
    pause: float = 0.5
    """Seconds between two requests to one host."""
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


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    options = parse_flags(
        CollectOptions, arguments, prog="graftgan collect", description=DESCRIPTION
    )
    if not options.sources:
        raise CollectError(
            "say what to collect, such as openverse:WORDS; see graftgan collect --help"
        )
    settings = _settings(options)
    for remark in dict.fromkeys(map(remark_on, options.sources)):
        if remark is not None:
            console.print(f"note: {remark}")
    try:
        with _shown() as watch:
            collected = collect(options.sources, options.out, settings, watch=watch)
    except KeyboardInterrupt:
        console.print(f"stopped; the same command goes on with {options.out}")
        raise
    _say(collected, options.out)
    for problem in collected.problems[1:]:
        console.print(f"problem: {problem}")
    if collected.problems:
        raise CollectError(collected.problems[0])
    return 0


def _settings(options: CollectOptions) -> CollectSettings:
    return CollectSettings(
        count=options.count,
        pause=options.pause,
        connections=options.connections,
        largest_mb=options.largest_mb,
        seconds=options.seconds,
        silence=options.silence,
        tries=options.tries,
        robots=options.robots,
        allow_private=options.allow_private,
        retry_refused=options.retry_refused,
        licence=options.licence,
        through=options.through,
        cookies=options.cookies,
        gallery_config=options.gallery_config,
        every=options.every,
        contact=options.contact or os.environ.get("GRAFTGAN_CONTACT"),
        openverse_api=options.openverse_api,
        openverse_token=os.environ.get("OPENVERSE_TOKEN"),
        commons_api=options.commons_api,
    )


def _say(collected: Collected, out: Path) -> None:
    total = len(collected.origins)
    counts = {
        "new": collected.new,
        "there already": collected.already,
        "twice": collected.duplicates,
        "refused before": collected.refused_before,
    }
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    console.print(f"{total:,} pictures in {out}: {said or 'nothing new'}")
    if collected.refused:
        reasons = ", ".join(f"{r} ({n:,})" for r, n in collected.refused.most_common())
        console.print(f"refused: {reasons}; see {out / 'refused.jsonl'}")
    if collected.worth_trying_again:
        console.print(
            f"{collected.worth_trying_again:,} of the refused may work another time "
            "or with other limits: the same command with --retry-refused"
        )
    if total:
        console.print(f"licences: {licences_in_words(collected.origins)}")
        console.print(f"next: graftgan curate {shlex.quote(str(out))} clean/")


@contextmanager
def _shown() -> Generator[Callable[[CollectionProgress], None]]:
    """Yield a function that shows how far it is: a bar on a terminal, a line now and then else."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[refused]:,} refused"),
        TimeRemainingColumn(),
    )
    last = time.monotonic()
    with bars_of(*columns) as bar:
        tasks = {"": bar.add_task("listing", total=None, refused=0)}

        def show(standing: CollectionProgress) -> None:
            nonlocal last
            if standing.source not in tasks:
                tasks[standing.source] = bar.add_task(
                    shown(standing.source), total=standing.wanted, refused=0
                )
                bar.update(tasks[""], visible=False)
            bar.update(tasks[standing.source], completed=standing.have, refused=standing.refused)
            if bar.disable and time.monotonic() - last > _LINE_S:
                last = time.monotonic()
                of = f" of {standing.wanted:,}" if standing.wanted else ""
                console.print(
                    f"{standing.source}: {standing.have:,}{of}, {standing.refused:,} refused"
                )

        yield show
