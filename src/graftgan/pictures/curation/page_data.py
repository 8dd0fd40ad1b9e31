"""The page of a curation, as plain data for the report that draws it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from graftgan.pictures.curation.balance import Balance, alternatives, as_typed, balance_of
from graftgan.pictures.curation.curation_page import (
    Alternative,
    CurationEntry,
    FilterEntry,
    write_curation_report,
)
from graftgan.pictures.curation.decisions import Verdict
from graftgan.pictures.curation.filters import FILTERS
from graftgan.pictures.curation.gallery import MOST, Choices, choose, quoted
from graftgan.pictures.curation.overrides import OVERRIDES
from graftgan.pictures.curation.page_thumbnails import Read, thumbnails_of
from graftgan.pictures.curation.settings import Rules
from graftgan.pictures.curation.suggestions import (
    COST_HEADINGS,
    Advice,
    Cost,
    advice_on,
    cost_rows,
    threshold_flag,
    threshold_in_words,
)
from graftgan.reports import Thumbnail

_UP_TO = "up to "
Pictures = Mapping[str, Thumbnail | None]


def write_curation_page(
    verdicts: Sequence[Verdict],
    rules: Rules,
    *,
    read: Read,
    name: str,
    command: str,
    destination: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write one HTML file about a curation; return it.

    Args:
        verdicts: On every picture, in the order of their names.
        rules: By which they were reached.
        read: Returns a picture's content by its name; called from several threads, and only for
            pictures that are shown. What it raises or returns None for is shown as missing.
        name: Of the raw pictures.
        command: What the person typed.
        destination: The file.
        progress: Told how many of the pictures that are shown are decoded.

    Raises:
        RunError: The page cannot be written.
    """
    advice = advice_on(verdicts, rules)
    choices = choose(verdicts, rules)
    pictures = thumbnails_of(choices.names(), read, progress)
    unusable = [v for v in verdicts if v.record.unusable is not None]
    entry = CurationEntry(
        name=name,
        raw=advice.raw,
        kept=advice.kept,
        facts=_facts(verdicts, advice),
        warnings=advice.warnings,
        advice=advice.sentences,
        headings=COST_HEADINGS,
        table=cost_rows(advice),
        filters=[
            _filter(cost, verdicts, rules, choices=choices, pictures=pictures)
            for cost in advice.costs
            if cost.looked_at
        ],
        kept_gallery=choices.kept.gallery(pictures),
        overruled=choices.overruled.gallery(pictures),
        unusable=[[v.name, str(v.record.unusable)] for v in unusable[:MOST]],
        unusable_total=len(unusable),
        overrides=_example(choices),
        overrides_file=OVERRIDES,
        command=command,
    )
    return write_curation_report(entry, destination)


def _facts(verdicts: Sequence[Verdict], advice: Advice) -> dict[str, str]:
    by_you = [v.overruled for v in verdicts]
    kept, dropped = by_you.count("kept"), by_you.count("dropped")
    return {
        "raw": f"{advice.raw:,}",
        "kept": f"{advice.kept:,}",
        "rejected": f"{advice.raw - advice.kept - advice.unusable:,}",
        "unusable": f"{advice.unusable:,}",
        "overruled": f"{kept:,} kept, {dropped:,} dropped" if kept or dropped else "0",
        "filters": str(sum(cost.rule.mode != "off" for cost in advice.costs)),
    }


def _filter(
    cost: Cost, verdicts: Sequence[Verdict], rules: Rules, *, choices: Choices, pictures: Pictures
) -> FilterEntry:
    looks_for, name = FILTERS[cost.name], cost.name
    balance = balance_of(name, verdicts, rules)
    others = _alternatives(balance)
    return FilterEntry(
        name=name,
        does=_does(cost),
        score=looks_for.score,
        threshold=cost.rule.threshold,
        upper=looks_for.side == "at_most",
        scores=_by_fate(name, verdicts),
        missed=cost.missed,
        alternatives=others,
        notes=_notes(balance, rules, unsure=any(o.kept.startswith(_UP_TO) for o in others)),
        rejected=choices.rejected[name].gallery(pictures),
        nearly=choices.nearly[name].gallery(pictures),
    )


def _does(cost: Cost) -> str:
    looks_for = FILTERS[cost.name]
    threshold = threshold_in_words(cost.name, cost.rule).replace(" ", "\u00a0")
    where = f"{looks_for.score} {threshold}"
    if cost.rule.mode == "keep_only":
        return f"Keeps only what {looks_for.found}: {where}"
    return f"Rejects what {looks_for.found}: {where}"


def _by_fate(name: str, verdicts: Sequence[Verdict]) -> dict[str, list[float]]:
    """Return the scores of what is kept, of what this filter rejects, and of the rest."""
    found: dict[str, list[float]] = {"kept": [], "rejected by it": [], "rejected otherwise": []}
    for verdict in verdicts:
        if name in verdict.scores:
            by_it = any(reason.filter == name for reason in verdict.reasons)
            rejected = "rejected by it" if by_it else "rejected otherwise"
            found["kept" if verdict.kept else rejected].append(verdict.scores[name])
    return found


def _alternatives(balance: Balance) -> list[Alternative]:
    present = balance.rule.threshold
    now = balance.kept(present)
    return [
        Alternative(
            threshold=as_typed(threshold),
            kept=_kept(balance, threshold),
            change="" if threshold == present else _change(balance.kept(threshold) - now),
            flag="" if threshold == present else threshold_flag(balance.name, threshold),
        )
        for threshold in alternatives(balance)
    ]


def _kept(balance: Balance, threshold: float) -> str:
    kept = balance.kept(threshold)
    unsure = balance.unseen and kept > balance.kept(balance.rule.threshold)
    return f"{_UP_TO if unsure else ''}{kept:,}"


def _change(difference: int) -> str:
    return f"{difference:+,}".replace("-", "−")


def _notes(balance: Balance, rules: Rules, *, unsure: bool) -> list[str]:
    said: list[str] = []
    if not balance.alone:
        said.append("It alone rejects nothing, so a looser threshold brings nothing back.")
    if unsure:
        said.append(
            f"Up to: {balance.unseen:,} of what would come back other filters have not looked at."
        )
    comparing = [
        n
        for n, rule in rules.items()
        if rule.mode != "off" and FILTERS[n].compare is not None and n != balance.name
    ]
    if comparing:
        said.append(
            f"What {' and '.join(comparing)} would say is not counted: it is found anew from what "
            "the others leave."
        )
    return said


def _example(choices: Choices) -> str:
    """Return an overrides file that has two names of this set."""
    rejected = next((c.verdicts[0] for c in choices.rejected.values() if c.verdicts), None)
    kept = next(iter(choices.kept.verdicts), None)
    keep = quoted(rejected.name if rejected is not None else "good.jpg")
    drop = quoted(kept.name if kept is not None else "bad.jpg")
    return f"keep = [{keep}]\ndrop = [{drop}]"
