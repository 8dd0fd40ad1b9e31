"""The page of a curation: what each filter costs, where its threshold is, what it kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from graftgan.reports.drawing import Panel
from graftgan.reports.histogram import histogram_svg
from graftgan.reports.page import render, write_page
from graftgan.reports.thumbnails import Thumbnail

AT_FIRST = 24
"""Pictures of a gallery that are seen before it is opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A picture on a gallery.

    Attributes:
        name: As it is copied into a file.
        lines: What is said of it.
        mark: What a person said of it; empty: nothing.
        picture: None where it cannot be read any more.
        beside: The picture that it is compared with, if it is.
    """

    name: str
    lines: Sequence[str] = ()
    mark: str = ""
    picture: Thumbnail | None
    beside: Thumbnail | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Some pictures of a kind.

    Attributes:
        shown: In their order.
        total: How many there are of that kind.
    """

    shown: Sequence[Shown] = ()
    total: int = 0

    @property
    def first(self) -> Sequence[Shown]:
        """What is seen at once."""
        return self.shown[:AT_FIRST]

    @property
    def rest(self) -> Sequence[Shown]:
        """What is seen once the gallery is opened."""
        return self.shown[AT_FIRST:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """Another threshold of a filter.

    Attributes:
        threshold: In words.
        kept: How many pictures would be, in words.
        change: Against now, in words.
        flag: What to add to the command; empty for the threshold as it is.
    """

    threshold: str
    kept: str
    change: str
    flag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterEntry:
    """What one filter did.

    Attributes:
        name: Of the filter.
        does: In words, such as ``rejects what has text``.
        score: What its score is, with its unit.
        threshold: Of the score.
        upper: Whether a score at the threshold belongs to those below it.
        scores: By what became of the pictures.
        missed: How many pictures it has not looked at.
        alternatives: Other thresholds, ascending.
        notes: What limits the numbers beside them.
        rejected: Those it rejects, the nearest to the threshold first.
        nearly: Those kept that it is nearest to rejecting.
    """

    name: str
    does: str
    score: str
    threshold: float
    upper: bool
    scores: Mapping[str, Sequence[float]]
    missed: int
    alternatives: Sequence[Alternative]
    notes: Sequence[str]
    rejected: Gallery
    nearly: Gallery

    @property
    def histogram(self) -> Panel:
        """Its scores with the threshold."""
        return histogram_svg(
            self.scores,
            title=f"Scores of {self.name}",
            x_label=self.score,
            y_label="pictures",
            threshold=self.threshold,
            upper=self.upper,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CurationEntry:
    """What is on the page of a curation.

    Attributes:
        name: Of the raw pictures.
        raw: How many there are.
        kept: How many of them.
        facts: At a glance.
        warnings: Sentences.
        advice: Sentences.
        headings: Of the table of filters.
        table: A row of text for each filter, its name first.
        filters: Those that looked.
        kept_gallery: Some of what is kept.
        overruled: What a person decided.
        unusable: Rows of name and reason, not necessarily all.
        unusable_total: How many there are.
        overrides: The content of a file that overrules, as an example.
        overrides_file: Its name.
        command: What wrote this.
    """

    name: str
    raw: int
    kept: int
    facts: Mapping[str, str]
    warnings: Sequence[str]
    advice: Sequence[str]
    headings: Sequence[str]
    table: Sequence[Sequence[str]]
    filters: Sequence[FilterEntry]
    kept_gallery: Gallery
    overruled: Gallery = field(default_factory=Gallery)
    unusable: Sequence[Sequence[str]] = ()
    unusable_total: int = 0
    overrides: str
    overrides_file: str
    command: str


def write_curation_report(entry: CurationEntry, destination: Path) -> Path:
    """Write one HTML file about a curation; return it.

    Raises:
        RunError: The page cannot be written.
    """
    page = render("curation.html", curation=entry, made_by=version("graftgan"))
    write_page(page, destination)
    return destination
