"""The page of a curation: what each filter costs, its threshold, and what it rejects and keeps."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from graftgan.core.errors import CountProgress
from graftgan.pictures.curation.advice import (
    COST_HEADINGS,
    Advice,
    Balance,
    Cost,
    advice_on,
    alternatives,
    as_typed,
    balance_of,
    cost_rows,
    threshold_flag,
)
from graftgan.pictures.curation.decisions import OVERRIDES, FilterRules, RejectionReason, Verdict
from graftgan.pictures.curation.filters import FILTERS
from graftgan.pictures.decode import decode_whole, reasons_for_failure
from graftgan.pictures.members import Content, Unusable
from graftgan.reports import Thumbnail, in_words, thumbnail
from graftgan.reports.histogram import histogram_svg
from graftgan.reports.page import render, write_page

MOST = 120
"""Pictures in a gallery."""
_MOST_IN_ALL = 1200
_AT_FIRST = 24  # pictures of a gallery that are shown before it is opened
_NEARLY = 24  # pictures that are nearly rejected
_UP_TO = "up to "
_MOST_THREADS = 4
_LEAST = 224  # pixels of detail that the JPEG decoder keeps

Read = Callable[[str], Content | None]
"""Returns the bytes or the pixels of a picture by name; None: it is missing."""
_Pictures = Mapping[str, Thumbnail | None]


def write_curation_page(
    verdicts: Sequence[Verdict],
    rules: FilterRules,
    *,
    read: Read,
    name: str,
    command: str,
    destination: Path,
    progress: CountProgress = lambda done, total: None,
) -> Path:
    """Write one HTML file about a curation; return it.

    Only pictures that are shown are read, by several threads. One for which ``read`` raises an
    error or returns None is shown as missing. ``name`` is that of the raw pictures, ``command``
    what the user typed; ``progress`` is called with (pictures decoded, pictures in all).
    """
    advice = advice_on(verdicts, rules)
    seen = [n for n in rules if any(n in v.scores for v in verdicts)]
    most = min(MOST, _MOST_IN_ALL // (len(seen) + 3))
    rejected, nearly = {}, {}
    for one in seen:
        rejected[one], nearly[one] = _nearest(one, verdicts, rules, most)
    kept = [v for v in verdicts if v.kept]
    if len(kept) > most:  # evenly spaced, including the first and the last
        kept = [kept[round(i * (len(kept) - 1) / (most - 1))] for i in range(most)]
    kept = _Choice(kept, advice.kept)
    by_you = [v for v in verdicts if v.overruled is not None]
    overruled = _Choice(by_you[:most], len(by_you))
    every = (kept, overruled, *rejected.values(), *nearly.values())
    pictures = _thumbnails([n for choice in every for n in choice.names()], read, progress)
    unusable = [v for v in verdicts if v.record.unusable is not None]
    curation = {
        "name": name,
        "raw": advice.raw,
        "kept": advice.kept,
        "facts": _facts(by_you, advice),
        "warnings": advice.warnings,
        "advice": advice.sentences,
        "headings": COST_HEADINGS,
        "table": cost_rows(advice),
        "filters": [
            {
                **_filter(cost, verdicts, rules),
                "rejected": rejected[cost.name].gallery(pictures),
                "nearly": nearly[cost.name].gallery(pictures),
            }
            for cost in advice.costs
            if cost.looked_at
        ],
        "kept_gallery": kept.gallery(pictures),
        "overruled": overruled.gallery(pictures),
        "unusable": [[v.name, str(v.record.unusable)] for v in unusable[:MOST]],
        "unusable_total": len(unusable),
        "overrides": _example([*rejected.values()], kept),
        "overrides_file": OVERRIDES,
        "command": command,
    }
    page = render("curation.html", curation=curation, made_by=version("graftgan"))
    write_page(page, destination)
    return destination


class _Choice(NamedTuple):
    """The verdicts to show in a gallery, in order, and how many there are in all."""

    verdicts: Sequence[Verdict]
    total: int
    of: str = ""  # the filter that they are shown for, if any

    def names(self) -> list[str]:
        """Return the names of all pictures that are shown."""
        beside = (reason.beside for v in self.verdicts for reason in v.reasons)
        return [v.name for v in self.verdicts] + [name for name in beside if name is not None]

    def gallery(self, pictures: _Pictures) -> dict[str, Any]:
        shown = [self._shown(v, pictures) for v in self.verdicts]
        first, rest = shown[:_AT_FIRST], shown[_AT_FIRST:]
        return {"shown": shown, "total": self.total, "first": first, "rest": rest}

    def _shown(self, verdict: Verdict, pictures: _Pictures) -> dict[str, Any]:
        # The reasons of the filter that the gallery is about come first.
        reasons = sorted(verdict.reasons, key=lambda reason: reason.filter != self.of)
        lines = [_said(reason) for reason in reasons]
        if not lines and self.of:
            lines = [_number(verdict.scores[self.of])]
        beside = reasons[0].beside if reasons else None
        return {
            "name": quoted(verdict.name),  # can be copied into the overrides file
            "lines": lines,
            "mark": f"{verdict.overruled} by you" if verdict.overruled else "",
            "picture": pictures.get(verdict.name),
            "beside": pictures.get(beside) if beside else None,
        }


def _nearest(
    name: str, verdicts: Sequence[Verdict], rules: FilterRules, most: int
) -> tuple[_Choice, _Choice]:
    """Return what a filter rejects and what it nearly rejects, nearest to its threshold first."""
    threshold = rules[name].threshold

    def distance(verdict: Verdict) -> float:
        score = verdict.scores[name]
        return math.inf if math.isnan(score) else abs(score - threshold)

    near = sorted((v for v in verdicts if name in v.scores), key=distance)
    by_it = [v for v in near if v.is_rejected_by(name)]
    last = [v for v in near if v.kept and not v.reasons][:_NEARLY]
    return _Choice(by_it[:most], len(by_it), name), _Choice(last, len(last), name)


def quoted(name: str) -> str:
    """Return a name as written in a TOML file."""
    return tomli_w.dumps({"name": name}).removeprefix("name = ").rstrip("\n")


def _said(reason: RejectionReason) -> str:
    number = "" if reason.score is None else f" ({_number(reason.score)})"
    beside = "" if reason.beside is None else f" as {quoted(reason.beside)}"
    return f"{reason.words}{beside}{number}"


def _number(score: float) -> str:
    return in_words(float(f"{score:.3g}"))


def _thumbnails(names: Sequence[str], read: Read, progress: CountProgress) -> _Pictures:
    """Return a small picture by each name; None: it is missing."""
    wanted = list(dict.fromkeys(names))
    found: dict[str, Thumbnail | None] = {}
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        small = pool.map(partial(_small, read=read), wanted)
        for name, picture in zip(wanted, small, strict=True):
            found[name] = picture
            progress(len(found), len(wanted))
    return found


def _small(name: str, *, read: Read) -> Thumbnail | None:
    try:
        with reasons_for_failure():
            content = read(name)
            if content is not None:
                return thumbnail(decode_whole(content, least=_LEAST).image)
    except Unusable:
        pass
    return None


def _facts(by_you: Sequence[Verdict], advice: Advice) -> dict[str, str]:
    said = [v.overruled for v in by_you]
    kept, dropped = said.count("kept"), said.count("dropped")
    return {
        "raw": f"{advice.raw:,}",
        "kept": f"{advice.kept:,}",
        "rejected": f"{advice.raw - advice.kept - advice.unusable:,}",
        "unusable": f"{advice.unusable:,}",
        "overruled": f"{kept:,} kept, {dropped:,} dropped" if kept or dropped else "0",
        "filters": str(sum(cost.rule.mode != "off" for cost in advice.costs)),
    }


def _filter(cost: Cost, verdicts: Sequence[Verdict], rules: FilterRules) -> dict[str, Any]:
    """Return what the page says about a filter, without its galleries."""
    looks_for, name = FILTERS[cost.name], cost.name
    balance = balance_of(name, verdicts, rules)
    others = _alternatives(balance)
    # Scores of what is kept, of what this filter rejects, and of the rest.
    scores: dict[str, list[float]] = {"kept": [], "rejected by it": [], "rejected otherwise": []}
    for verdict in (v for v in verdicts if name in v.scores):
        by = "rejected by it" if verdict.is_rejected_by(name) else "rejected otherwise"
        scores["kept" if verdict.kept else by].append(verdict.scores[name])
    keeps = "Keeps only" if cost.rule.mode == "keep_only" else "Rejects"
    threshold = cost.threshold.replace(" ", "\u00a0")
    return {
        "name": name,
        "does": f"{keeps} what {looks_for.found}: {looks_for.score} {threshold}",
        "histogram": histogram_svg(
            scores,
            title=f"Scores of {name}",
            x_label=looks_for.score,
            y_label="pictures",
            threshold=cost.rule.threshold,
            upper=looks_for.side == "at_most",
        ),
        "missed": cost.missed,
        "alternatives": others,
        "notes": _notes(balance, rules, unsure=any(o["kept"].startswith(_UP_TO) for o in others)),
    }


def _alternatives(balance: Balance) -> list[dict[str, str]]:
    """Return thresholds in words, ascending; the present one has no flag."""
    present = balance.rule.threshold
    now = balance.kept(present)
    rows: list[dict[str, str]] = []
    for threshold in alternatives(balance):
        kept = balance.kept(threshold)
        row = {"threshold": as_typed(threshold), "change": "", "flag": ""}
        row["kept"] = f"{_UP_TO if balance.unseen and kept > now else ''}{kept:,}"
        if threshold != present:
            row["change"] = f"{kept - now:+,}".replace("-", "−")
            row["flag"] = threshold_flag(balance.name, threshold)
        rows.append(row)
    return rows


def _notes(balance: Balance, rules: FilterRules, *, unsure: bool) -> list[str]:
    """Return caveats on the numbers of a filter."""
    said: list[str] = []
    if not balance.alone:
        said.append("It alone rejects nothing, so a looser threshold brings nothing back.")
    if unsure:
        said.append(
            f"Up to: other filters have not looked at {balance.unseen:,} of what would come back."
        )
    comparing = [
        n
        for n, rule in rules.items()
        if rule.mode != "off" and FILTERS[n].compare is not None and n != balance.name
    ]
    if comparing:
        said.append(
            f"The effect of {' and '.join(comparing)} is not counted: it depends on what the other "
            "filters keep."
        )
    return said


def _example(rejected: Sequence[_Choice], kept: _Choice) -> str:
    """Return an example of an overrides file with two names of this set."""
    good = next((c.verdicts[0].name for c in rejected if c.verdicts), "good.jpg")
    bad = next((v.name for v in kept.verdicts), "bad.jpg")
    return f"keep = [{quoted(good)}]\ndrop = [{quoted(bad)}]"
