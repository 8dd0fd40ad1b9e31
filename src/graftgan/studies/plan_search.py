"""A search for a plan as plain data: what is tried, how it is judged, what it may cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from graftgan.core.errors import SettingsError
from graftgan.core.settings import parse, strict, to_plain
from graftgan.experiments.experiment import Experiment
from graftgan.metrics import METRICS
from graftgan.studies.comparison import (
    check_scored,
    comparison_fingerprint,
    dotted_setting,
    overridden,
    settled_base,
)
from graftgan.transfer import ACTIONS

Networks = Literal["both", "discriminator", "generator"]
Judge = Literal["end", "best"]
PrunerName = Literal["median", "halving", "hyperband", "none"]


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a search may cost; it begins no trial once one of these is spent.

    Attributes:
        trials: Trials begun.
        seconds: Of all trials together, scoring and loading included.
        images: Real pictures shown, in all trials together.
    """

    trials: int | None = None
    seconds: float | None = None
    images: int | None = None

    def __post_init__(self) -> None:
        for name in ("trials", "seconds", "images"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise SettingsError(f"a budget of {name} must be positive, got {value}")

    @property
    def unlimited(self) -> bool:
        """Whether nothing limits the search but its strategy."""
        return self.trials is None and self.seconds is None and self.images is None


@strict
@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSearch:
    """Everything that decides the trials of a search.

    Attributes:
        base: What all trials share.
        strategy: A name in ``STRATEGIES``.
        networks: Whose layers are searched; the other network keeps the plan of ``base``.
        actions: What a layer may be given.
        step: ``grid`` cuts a network at every so many layers only.
        tune: Ranges of settings that ``optuna`` also chooses, such as ``modulation_rate=0.3:30``.
        pruner: How ``optuna`` ends trials that fall behind.
        judge: A trial counts by its score at its ``end``, or at its ``best`` checkpoint.
        confirm_seeds: New seeds with which the best trials are run again; 0: they are not.
        confirm_top: How many trials are run again.
        budget: What the search may cost; the reruns come on top.
    """

    base: Experiment
    strategy: str = "gradual"
    networks: Networks = "both"
    actions: tuple[str, ...] = ("freeze", "adafm", "fine_tune")
    step: int = 1
    tune: tuple[str, ...] = ("modulation_rate=0.3:30",)
    pruner: PrunerName = "median"
    judge: Judge = "end"
    confirm_seeds: int = 0
    confirm_top: int = 3
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        unknown = [name for name in self.actions if name not in ACTIONS]
        if unknown or len(set(self.actions)) < max(2, len(self.actions)):
            raise SettingsError(
                f"actions must be two or more different ones of {', '.join(ACTIONS)}; got "
                f"{', '.join(self.actions)}"
            )
        if self.step < 1:
            raise SettingsError(f"step must be at least 1, got {self.step}")
        if self.confirm_seeds < 0 or self.confirm_top < 1:
            raise SettingsError("confirm_seeds must not be negative, confirm_top at least 1")

    @property
    def roles(self) -> tuple[str, ...]:
        """The networks whose layers are searched."""
        return ("discriminator", "generator") if self.networks == "both" else (self.networks,)

    @property
    def better(self) -> str:
        """Which way the score that decides is better, ``lower`` or ``higher``."""
        return next(iter(METRICS[self.base.scoring.metrics[0]].better.values()))

    def cost(self, value: float) -> float:
        """Return a score as a number of which less is better."""
        return -value if self.better == "higher" else value

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return the lowest and the highest value of each setting in ``tune``, by dotted name.

        Raises:
            SettingsError: A text is no range, or its setting is no positive number.
        """
        found: dict[str, tuple[float, float]] = {}
        for text in self.tune:
            name, _, ends = text.partition("=")
            try:
                low, high = (float(end) for end in ends.split(":"))
            except ValueError:
                raise SettingsError(
                    f"--tune takes a setting and its range, NAME=LOW:HIGH; got '{text}'"
                ) from None
            if not 0 < low < high < math.inf:
                raise SettingsError(f"the range in '{text}' must be positive and ascending")
            setting = dotted_setting(name)
            for end in (low, high):
                overridden(self.base, {setting: end})
            found[setting] = (low, high)
        return found

    def check(self) -> None:
        """Check what makes trials comparable, and every name.

        Raises:
            SettingsError: Something is missing or unknown.
        """
        if self.base.source is None:
            raise SettingsError("search is for transfers: it needs a --source")
        check_scored(self.base, what="a search")
        self.base.check_names()
        self.ranges()

    @classmethod
    def around(cls, base: Experiment, table: Mapping[str, Any], *, where: str) -> "PlanSearch":
        """Return the search that the table ``[search]`` of an experiment file asks for.

        Raises:
            SettingsError: The table has an unknown key, or a value that is none.
        """
        asked = parse(cls, {"base": {"pictures": ""}, **table}, where=where)
        return replace(asked, base=base)

    def located(self) -> "PlanSearch":
        """Return the search as it is written: paths absolute, the size of batches known."""
        return replace(self, base=settled_base(self.base))

    def sha256(self) -> str:
        """Return a fingerprint of all settings but the budget, which may grow."""
        return comparison_fingerprint(to_plain(replace(self, budget=Budget())))
