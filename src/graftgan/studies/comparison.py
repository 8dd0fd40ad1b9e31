"""A comparison as plain data: one experiment, what varies in it, and the seeds."""

import hashlib
import json
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from graftgan.core.errors import RunError, SettingsError, shown
from graftgan.core.files import distinct_name
from graftgan.core.registry import suggest
from graftgan.core.settings import dotted_names, parse, read_record, strict, to_plain
from graftgan.experiments.experiment import Experiment, flat, usual_batch_size
from graftgan.experiments.methods import METHODS
from graftgan.models.sources import open_source, settled_name
from graftgan.studies.study_statistics import SOURCE
from graftgan.transfer import parse_schedule

_MOST_SEEDS = 1_000
Overrides = Mapping[str, Any]
"""Plain values of settings by dotted name."""

_SET_BY_THE_COMPARISON = {
    "seed": "the seeds are given with --seeds",
    "pictures": "all variants learn from the same pictures",
}


def comparison_fingerprint(plain: Mapping[str, Any]) -> str:
    """Return the sha256 of plain settings, of an object or as a file has them.

    The two differ if the file is older than a setting, whose default only the object has.
    """
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprints:
    """The fingerprints of a study's settings in its file of results."""

    settings_sha256: str = ""
    extended_sha256: str = ""  # of the settings since they were extended

    def know(self, found: Collection[str]) -> bool:
        """Whether these contain one of ``found``."""
        return not {self.settings_sha256, self.extended_sha256}.isdisjoint(found)


def read_fingerprints(file: Path) -> Fingerprints:
    """Return the fingerprints in ``file``; raise RunError if it is missing or damaged."""
    remedy = "restore it from a copy of the folder"
    return read_record(Fingerprints, file, error=RunError, remedy=remedy)


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a comparison."""

    name: str  # of its folder in ``runs/``
    variant: str
    seed: int
    experiment: Experiment


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that decides the runs of a comparison.

    Each of the ``variants`` overrides some settings of ``base`` and is run once with each seed.
    """

    base: Experiment
    variants: Mapping[str, Overrides]
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if not self.variants:
            raise SettingsError("a comparison needs variants: --methods combined,fine_tune")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise SettingsError(f"seeds must be one or more different numbers, got {self.seeds}")

    def jobs(self) -> list[Job]:
        """Return the runs: all variants with the first seed, then all with the next, and so on."""
        folders = _folder_names(list(self.variants))
        experiments = {name: overridden(self.base, of) for name, of in self.variants.items()}
        return [
            Job(f"{folders[name]}-{seed}", name, seed, replace(experiment, seed=seed))
            for seed in self.seeds
            for name, experiment in experiments.items()
        ]

    def extended(
        self, variants: Mapping[str, Overrides], seeds: tuple[int, ...] = ()
    ) -> "Comparison":
        """Return the comparison with further variants and seeds; SettingsError: one is not new."""
        twice = [*(self.variants.keys() & variants.keys()), *map(str, set(self.seeds) & set(seeds))]
        if twice:
            raise SettingsError(f"the comparison has {', '.join(sorted(twice))} already")
        return replace(self, variants={**self.variants, **variants}, seeds=(*self.seeds, *seeds))

    def located(self) -> "Comparison":
        """Return the comparison as it is written: with absolute paths and the batch size."""
        variants = {name: dict(overrides) for name, overrides in self.variants.items()}
        for overrides in variants.values():
            if "source" in overrides:
                overrides["source"] = settled_name(overrides["source"])
        return replace(self, base=settled_base(self.base), variants=variants)

    def sha256(self) -> str:
        """Return a fingerprint of all settings."""
        return comparison_fingerprint(to_plain(self))

    def check(self) -> None:
        """Raise SettingsError if the runs would not be comparable, or a name is unknown."""
        check_scored(self.base, what="a comparison")
        taken = [name for name in self.variants if name.startswith(SOURCE)]
        if taken:
            raise SettingsError(
                f"no variant may be called '{taken[0]}', as the rows of untouched sources are; "
                "choose another name"
            )
        for name, overrides in self.variants.items():
            for setting in overrides:
                _check_may_vary(setting, where=f"the variant '{name}'")
        for job in self.jobs():
            job.experiment.check_names()


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Varied:
    """What varies, as flags or as the table ``[compare]`` of an experiment file."""

    methods: str = ""
    """Named methods, presets or plans, separated by commas."""
    vary: tuple[str, ...] = ()
    """Other settings with their values, such as ``augment=none,light``."""
    seeds: str = "3"
    """The number of seeds for each variant; or a list of seeds, such as ``3,5`` or ``7,``."""

    def around(self, base: Experiment) -> Comparison:
        """Return the comparison of these variants of ``base``."""
        vary: dict[str, list[str]] = {}
        for words in self.vary:
            name, _, values = words.partition("=")
            name = name.strip().lstrip("-")
            if not split_list(values):
                raise SettingsError(f"--vary takes a setting and its values, NAME=a,b: '{words}'")
            if name in vary:
                raise SettingsError(f"--vary {name} is given twice; list all its values at once")
            vary[name] = split_list(values)
        return Comparison(
            base=replace(base, plan=None) if self.methods else base,
            variants=variants_of(base, split_list(self.methods), vary),
            seeds=parse_seeds(self.seeds),
        )


def settled_base(experiment: Experiment) -> Experiment:
    """Return ``experiment`` with absolute paths, that of its source too, and a batch size.

    All runs share that size: the one that is set, or the default of the source or the networks.
    """
    located, size = experiment.located(), experiment.training.batch_size
    if located.source is not None:
        source = settled_name(located.source)
        located = replace(located, source=source)
        size = size or usual_batch_size(open_source(source).card.architecture)
    size = size or usual_batch_size(located.architecture(None))
    return replace(located, training=located.training.in_iterations(size))


def check_scored(base: Experiment, *, what: str) -> None:
    """Raise SettingsError if runs of ``base`` have no scores, or may be ended by them."""
    if base.scoring.score_every is None:
        raise SettingsError(
            f"{what} needs scores: add --score-every 100, and --held-out 0.2 or a larger set of "
            "the same kind as --reference"
        )
    if base.scoring.patience is not None:
        raise SettingsError(
            "with --patience the runs would see different numbers of images; leave it out: the "
            "results also show every run at its best checkpoint"
        )


def variants_of(
    base: Experiment, methods: Sequence[str] = (), vary: Mapping[str, Sequence[str]] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the overrides of every combination of methods and settings, by the variant's name.

    A method is one of ``METHODS``, a preset or a plan. ``vary`` has values as text by the name of a
    setting, dotted or its last part.

    Raises:
        SettingsError: A setting or value does not exist or may not vary, or a name comes twice.
        PlanError: A method is no plan.
    """
    axes = [[(method, _overrides_of(method)) for method in methods]] if methods else []
    for name, texts in (vary or {}).items():
        setting = dotted_setting(name)
        _check_may_vary(setting, where="--vary")
        axes.append([(f"{name}={text}", {setting: _typed(base, setting, text)}) for text in texts])
    if not axes:
        raise SettingsError(
            "say what to compare: --methods combined,fine_tune or --vary augment=none,light"
        )
    variants: dict[str, dict[str, Any]] = {}
    for combination in product(*axes):
        name = " ".join(part for part, _ in combination)
        merged: dict[str, Any] = {}
        for _, overrides in combination:
            twice = merged.keys() & overrides.keys()
            if twice:
                raise SettingsError(f"{', '.join(sorted(twice))} is set twice in '{name}'")
            merged |= overrides
        if name in variants:
            raise SettingsError(f"the variant '{name}' is named twice")
        variants[name] = merged
    return variants


def _overrides_of(method: str) -> dict[str, Any]:
    """Return the settings of a named method, or of a preset or plan."""
    if method in METHODS:
        return {"method": method, **METHODS[method].settings}
    parse_schedule(method)
    return {"plan": method}


def split_list(text: str) -> list[str]:
    """Split at commas and semicolons outside brackets, so ``adafm, D(1,2,2) G(1,2,2)`` is two."""
    items, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter in ",;" and depth <= 0:
            items.append("")
        else:
            items[-1] += letter
    return [item.strip() for item in items if item.strip()]


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds: ``3`` is 0, 1, 2; ``3,5`` and ``7,`` list them; SettingsError: neither."""
    try:
        numbers = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        numbers = ()
    if "," not in text and numbers and 0 < numbers[0] <= _MOST_SEEDS:
        return tuple(range(numbers[0]))
    if "," in text and numbers and min(numbers) >= 0:
        return numbers
    raise SettingsError(
        f"'{text}' are no seeds; give their number, such as 3 ({_MOST_SEEDS:,} at most), or a "
        "list, such as 3,5,8 or 7,"
    )


def further_seeds(text: str, known: Sequence[int]) -> tuple[int, ...]:
    """Return seeds to add: ``2`` is the next two; ``7,9`` and ``7,`` list them."""
    first = 0 if "," in text else max(known) + 1
    return tuple(first + seed for seed in parse_seeds(text))


def overridden(experiment: Experiment, overrides: Overrides) -> Experiment:
    """Return ``experiment`` with some settings changed; SettingsError: a name or value is wrong."""
    plain = to_plain(experiment)
    for name, value in overrides.items():
        section = plain
        *groups, last = name.split(".")
        for group in groups:
            section = section.setdefault(group, {})
        section[last] = value
    return parse(Experiment, plain, where=", ".join(overrides) or "the base")


def dotted_setting(name: str) -> str:
    """Return the dotted name of a setting, given as that, with dashes or as its last part."""
    known = list(dotted_names(Experiment))
    wanted = name.strip().replace("-", "_")
    matching = [k for k in known if wanted in (k, k.rpartition(".")[2])]
    if len(matching) != 1:
        raise SettingsError(f"no setting '{shown(name)}' that could vary; {suggest(wanted, known)}")
    return matching[0]


def _check_may_vary(setting: str, *, where: str) -> None:
    reason = _SET_BY_THE_COMPARISON.get(setting)
    if setting.startswith("scoring."):
        reason = "scores compare only if all are measured in one way"
    if reason is not None:
        raise SettingsError(f"{where} may not change {setting}: {reason}")


def _typed(base: Experiment, setting: str, text: str) -> Any:
    """Return ``text`` as a plain value of ``setting``: a number, a boolean or a string."""
    try:
        literal = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        literal = text
    try:
        checked = overridden(base, {setting: literal})
    except SettingsError:
        if literal == text:
            raise
        checked = overridden(base, {setting: text})
    return flat(to_plain(checked))[setting]


def _folder_names(variants: Sequence[str]) -> dict[str, str]:
    """Return a folder name for each variant; no two differ in case alone."""
    names: dict[str, str] = {}

    def is_taken(name: str) -> bool:
        return name.lower() in {known.lower() for known in names.values()}

    for variant in variants:
        plain = re.sub(r"[^A-Za-z0-9._]+", "-", variant).strip("-.")[:60] or "variant"
        names[variant] = distinct_name(plain, is_taken)
    return names
