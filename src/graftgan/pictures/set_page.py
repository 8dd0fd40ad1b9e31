"""The page of image sets: how diverse they are, and what they cover of each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from graftgan.core.tensors import PictureBytes
from graftgan.reports.drawing import in_words
from graftgan.reports.grid import embed, picture_grid
from graftgan.reports.page import render, write_page

_COLUMNS = 16
_WALL_BYTES = 500_000
Interval = tuple[float, float, float]
"""A value with the ends of its interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetEntry:
    """One set on the page.

    Attributes:
        name: Of the set.
        total: Its usable pictures.
        vendi: Effective number of different pictures.
        distance: Mean distance of two.
        recalled_by: By the name of another set, the share that lies within it.
        examples: Some pictures.
    """

    name: str
    total: int
    vendi: Interval
    distance: Interval
    recalled_by: Mapping[str, Interval]
    examples: PictureBytes


SET_HEADINGS = ["set", "pictures", "Vendi", "mean distance of two"]


def set_rows(entries: Sequence[SetEntry]) -> list[list[str]]:
    """Return a row of text under ``SET_HEADINGS`` for each set."""
    return [
        [entry.name, f"{entry.total:,}", _in_words(entry.vendi), _in_words(entry.distance)]
        for entry in entries
    ]


def recall_rows(entries: Sequence[SetEntry]) -> list[list[str]]:
    """Return a row for each set: what share of it lies within each of them."""
    return [
        [entry.name]
        + [_in_words(entry.recalled_by[o.name]) if o.name != entry.name else "–" for o in entries]
        for entry in entries
    ]


def write_sets_report(
    entries: Sequence[SetEntry], destination: Path, *, protocol: Mapping[str, str]
) -> Path:
    """Write one HTML file about image sets; return it.

    Raises:
        RunError: The page cannot be written.
    """
    galleries = [
        (
            entry,
            embed(
                picture_grid(entry.examples, columns=_COLUMNS),
                alt=f"{len(entry.examples)} pictures of {entry.name}",
                exact_up_to=_WALL_BYTES,
            ),
        )
        for entry in entries
    ]
    page = render(
        "sets.html",
        headings=SET_HEADINGS,
        table=set_rows(entries),
        names=[entry.name for entry in entries],
        recall=recall_rows(entries) if len(entries) > 1 else [],
        galleries=galleries,
        protocol=dict(protocol),
        made_by=version("graftgan"),
    )
    write_page(page, destination)
    return destination


def _in_words(interval: Interval) -> str:
    value, low, high = (in_words(number, digits=3) for number in interval)
    return f"{value} [{low}, {high}]"
