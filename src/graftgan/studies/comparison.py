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

from tyro.constructors import PrimitiveConstructorSpec

from graftgan.core.errors import RunError, SettingsError, shown
from graftgan.core.registry import suggest
from graftgan.core.settings import dotted_names, parse, read_record, strict, to_plain
from graftgan.experiments.experiment import Experiment, flat, usual_batch_size
from graftgan.experiments.methods import METHODS
from graftgan.models.sources import open_source, settled_name
from graftgan.studies.study_statistics import SOURCE
from graftgan.transfer import parse_plan

Overrides = Mapping[str, Any]
"""Plain values by dotted name of a setting."""

_SET_BY_THE_COMPARISON = {
    "seed": "the seeds are given with --seeds",
    "pictures": "all variants learn from the same pictures",
}
_LONGEST_NAME = 60


def comparison_fingerprint(plain: Mapping[str, Any]) -> str:
    """Return the sha256 of plain settings: of an object, or of a file as it was written.

    The two differ where the file is older than a setting: the object has that one's default too.
    """
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprints:
    """Of the settings that a study's results were made with, whatever else is in their file."""

    settings_sha256: str = ""
    extended_sha256: str = ""  # of the settings since, where they were extended

    def know(self, found: Collection[str]) -> bool:
        """Whether one of the fingerprints ``found`` is among these."""
        return not {self.settings_sha256, self.extended_sha256}.isdisjoint(found)


def read_fingerprints(file: Path) -> Fingerprints:
    """Return those in the results of a study; raise RunError if these are missing or damaged."""
    remedy = "restore it from a copy of the folder"
    return read_record(Fingerprints, file, error=RunError, remedy=remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of a comparison; its folder in ``runs/`` has its name."""

    name: str
    variant: str
    seed: int
    experiment: Experiment


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that decides the runs of a comparison.

    Each of the ``variants`` differs from ``base`` in some settings and is run once for each seed.
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
        """Return the runs: all variants with the first seed, then all with the next."""
        folders = _folder_names(list(self.variants))
        return [
            Job(
                name=f"{folders[variant]}-{seed}",
                variant=variant,
                seed=seed,
                experiment=replace(overridden(self.base, overrides), seed=seed),
            )
            for seed in self.seeds
            for variant, overrides in self.variants.items()
        ]

    def extended(
        self, variants: Mapping[str, Overrides], seeds: tuple[int, ...] = ()
    ) -> "Comparison":
        """Return the comparison with further ones; SettingsError: one is there already."""
        twice = [*(self.variants.keys() & variants.keys()), *map(str, set(self.seeds) & set(seeds))]
        if twice:
            raise SettingsError(f"the comparison has {', '.join(sorted(twice))} already")
        return replace(self, variants={**self.variants, **variants}, seeds=(*self.seeds, *seeds))

    def located(self) -> "Comparison":
        """Return the comparison as it is written: paths absolute, the size of batches known."""
        variants = {name: dict(overrides) for name, overrides in self.variants.items()}
        for overrides in variants.values():
            if "source" in overrides:
                overrides["source"] = settled_name(overrides["source"])
        return replace(self, base=settled_base(self.base), variants=variants)

    def sha256(self) -> str:
        """Return a fingerprint of all settings."""
        return comparison_fingerprint(to_plain(self))

    def check(self) -> None:
        """Check what makes the runs comparable, and the names in all of them.

        Raises:
            SettingsError: Something is missing, or would make the comparison an unfair one.
        """
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
    """What varies, in the words of the command line; ``[compare]`` in an experiment file."""

    methods: str = ""
    """Named methods, presets or plans, separated by commas."""
    vary: tuple[str, ...] = ()
    """Other settings with their values, such as ``augment=none,light``."""
    seeds: str = "3"
    """How many seeds each variant is run with; or a list of them, such as ``3,5`` or ``7,``."""

    def around(self, base: Experiment) -> Comparison:
        """Return the comparison of these variants of ``base``, as ``variants_of`` takes them."""
        vary: dict[str, list[str]] = {}
        for words in self.vary:
            name, equals, values = words.partition("=")
            name = name.strip().lstrip("-")
            if not equals or not split_list(values):
                raise SettingsError(
                    f"--vary takes a setting and its values, NAME=a,b; got '{words}'"
                )
            if name in vary:
                raise SettingsError(
                    f"--vary {name} is given twice; list its values once, with commas"
                )
            vary[name] = split_list(values)
        return Comparison(
            base=replace(base, plan=None) if self.methods else base,
            variants=variants_of(base, split_list(self.methods), vary),
            seeds=parse_seeds(self.seeds),
        )


def settled_base(experiment: Experiment) -> Experiment:
    """Return what runs begin with: every path absolute, that of its source too, batches of a size.

    All runs share that size: the one asked for, or the usual one for source or networks.
    """
    located, size = experiment.located(), experiment.training.batch_size
    if located.source is not None:
        source = settled_name(located.source)
        located = replace(located, source=source)
        size = size or usual_batch_size(open_source(source).card.architecture)
    size = size or usual_batch_size(located.architecture(None))
    return replace(located, training=located.training.in_iterations(size))


def check_scored(base: Experiment, *, what: str) -> None:
    """Raise SettingsError if runs from ``base`` are not scored, or ended by their own scores."""
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
    """Return every combination of the methods with the values of the settings that vary.

    A method is one of ``METHODS``, a preset or a plan. ``vary`` has values as text, by a setting's
    name, dotted or its last part.

    Raises:
        SettingsError: A setting or value does not exist or may not vary, or a name comes twice.
        PlanError: A method is no plan.
    """
    axes: list[list[tuple[str, dict[str, Any]]]] = []
    if methods:
        axes.append([(method, _overrides_of(method)) for method in methods])
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
    """Return the settings that a method stands for: its row, or the plan that it names or is."""
    if method in METHODS:
        return {"method": method, **METHODS[method].settings}
    parse_plan(method)
    return {"plan": method}


def split_list(text: str) -> list[str]:
    """Split at commas and semicolons, but not inside brackets: a plan is one item.

    ``combined, D(1,2,2) G(1,2,2)`` has two.
    """
    items, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter in ",;" and depth <= 0:
            items.append("")
        else:
            items[-1] += letter
    return [item.strip() for item in items if item.strip()]


LISTED = PrimitiveConstructorSpec[tuple[str, ...]](
    nargs=1,
    metavar="STR",
    instance_from_str=lambda words: tuple(split_list(words[0])) if words[0] != "none" else (),
    is_instance=lambda items: isinstance(items, tuple),
    str_from_instance=lambda items: [",".join(items) or "none"],
)
"""How a flag says several things in one word, as ``split_list`` reads it; ``none``: nothing."""


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds: ``3`` is 0, 1, 2; ``3,5`` and ``7,`` list them; SettingsError: else."""
    try:
        numbers = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        numbers = ()
    if "," not in text and numbers and numbers[0] > 0:
        return tuple(range(numbers[0]))
    if "," in text and numbers and min(numbers) >= 0:
        return numbers
    raise SettingsError(
        f"'{text}' are no seeds; write how many, such as 3, or list them, such as 3,5,8 or 7,"
    )


def further_seeds(text: str, known: Sequence[int]) -> tuple[int, ...]:
    """Return seeds to add: ``2`` stands for the next two, ``7,9`` and ``7,`` list them."""
    seeds = parse_seeds(text)
    first = 0 if "," in text else max(known) + 1
    return tuple(first + seed for seed in seeds)


def overridden(experiment: Experiment, overrides: Overrides) -> Experiment:
    """Return ``experiment`` with some settings changed; SettingsError: one is none or unfit."""
    plain = to_plain(experiment)
    for name, value in overrides.items():
        section = plain
        *groups, last = name.split(".")
        for group in groups:
            section = section.setdefault(group, {})
        section[last] = value
    return parse(Experiment, plain, where=", ".join(overrides) or "the base")


def dotted_setting(name: str) -> str:
    """Return the full name of a setting that is named in full, with dashes or by its last part."""
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
    """Return the plain value that ``text`` is for ``setting``: a number, a truth value, or text."""
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
    """Return a folder name for each variant, different also where case does not count."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for variant in variants:
        plain = re.sub(r"[^A-Za-z0-9._]+", "-", variant).strip("-.")[:_LONGEST_NAME] or "variant"
        name, number = plain, 1
        while name.lower() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.lower())
        names[variant] = name
    return names
