"""Choose the action of every layer with Optuna's TPE, and end trials that fall behind."""

import importlib
import math
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

from graftgan.core.errors import SettingsError
from graftgan.core.settings import to_plain
from graftgan.experiments.experiment import flat
from graftgan.models.sources import open_source
from graftgan.studies.plan_search import STRATEGIES, Choices
from graftgan.studies.strategies import Strategy
from graftgan.studies.trials import FINISHED, Pause, Proposal, Trial
from graftgan.transfer import ACTIONS, PRESETS

STUDY = "study.db"
_NAME = "plan"
_RANDOM_TRIALS = 8  # the presets among them, before TPE models anything
_BEFORE_PRUNING = 4  # finished trials before the median pruner ends any
_UNPRUNED_SHARE = 0.2  # of each trial, at its start
_FIRST_RUNG = 0.4  # share of a trial before halving may end it: a bad start may end best
_MODELLED_REPEATS = 10  # repeated plans in a row before sampling is random
_MOST_REPEATS = 50  # repeated plans in a row before the space counts as exhausted
_STEPS = "steps"  # of a schedule, after each plan
_MODULATION_RATE = "transfer.modulation_rate"


@STRATEGIES.register("optuna")
class OptunaStrategy(Strategy):
    """Sample plans layer by layer with TPE, learning from all trials so far.

    The parameters of the study in ``study.db`` (SQLite) are an action for each searched layer
    (``generator.layer1``) and the settings of ``tune`` on a logarithmic scale; ``modulation_rate``
    is left out of plans that modulate nothing. The presets in the space come first.

    No plan is run twice: after ten repeats in a row plans are sampled at random, and after fifty
    the space counts as exhausted. A trial that diverged or was stopped counts as pruned.
    """

    def check(self) -> None:
        """Raise SettingsError without Optuna, or where nothing limits the search."""
        _optuna()
        if self.search.budget.unlimited:
            raise SettingsError(
                "say what the search may cost: --trials 20, --budget-seconds 3600 or "
                "--budget-images 1000000"
            )

    def known(self) -> list[Proposal]:
        """Return the presets."""
        usual, found = self._usual(), list[Proposal]()
        for preset, choices in self._presets().items():
            values = {name: usual[name] for name in self._tuned_with(choices)}
            overrides = {"plan": self.space.plan_of(choices), **values}
            found.append(Proposal(overrides=overrides, why=preset))
        return found

    def begin(self, trials: Sequence[Trial]) -> None:
        """Open the study, and tell it of trials that a killed process could not."""
        study = self._study
        if "begun" not in study.user_attrs:
            for preset, choices in self._presets().items():
                fixed = {
                    f"{role}.{layer}": action
                    for role, actions in choices.items()
                    for layer, action in actions.items()
                }
                if len(self.space.endings) > 1:
                    fixed[_STEPS] = self.space.endings[0]
                values = {**fixed, **self._usual()}
                study.enqueue_trial(values, user_attrs={"why": preset}, skip_if_exists=True)
            study.set_user_attr("begun", True)
        for trial in trials:
            if not trial.is_open:
                self.tell(trial)

    def ask(self, trials: Sequence[Trial]) -> Proposal | Pause:
        """Return a plan that has no trial yet."""
        study = self._study
        # No two processes draw the same samples, and a resumed one draws what it would have.
        seed = 1000 * self.search.base.seed + len(trials)
        with _quiet():
            study.sampler = _optuna().samplers.TPESampler(
                seed=seed,
                n_startup_trials=_RANDOM_TRIALS,
                constant_liar=True,  # running trials count as bad, so processes differ
            )
        own = [trial for trial in trials if trial.reference is not None]
        known = [trial.overrides for trial in own]
        for repeats in range(_MOST_REPEATS):
            if repeats == _MODELLED_REPEATS:  # the model repeats its favourites
                study.sampler = _optuna().samplers.RandomSampler(seed=seed)
            sample = self._sample(study, {trial.reference for trial in own})
            choices, ending, values = self._suggested(sample)
            overrides = {"plan": self.space.plan_of(choices, ending), **values}
            trains = all(set(actions.values()) != {"freeze"} for actions in choices.values())
            if trains and overrides not in known:
                why = str(sample.user_attrs.get("why", "sampled"))
                return Proposal(overrides=overrides, why=why, reference=sample.number)
            study.tell(sample.number, state=_state("FAIL"))  # which the model ignores
        return Pause.WAIT if any(trial.is_open for trial in own) else Pause.DONE

    def tell(self, trial: Trial) -> None:
        """Tell the study how a trial ended, unless it failed and will be tried again."""
        reference, study = trial.reference, self._study
        if reference is None or trial.has_failed:
            return
        with _quiet():
            if trial.state == FINISHED and trial.cost is not None:
                study.tell(reference, trial.cost, skip_if_finished=True)
                return
            # Optuna ignores a failed trial, but learns that a pruned one was bad.
            any_score = bool(study.trials[reference].intermediate_values)
            state = _state("PRUNED" if any_score else "FAIL")
            study.tell(reference, state=state, skip_if_finished=True)

    def scored(self, trial: Trial, iteration: int, cost: float) -> str:
        """Report a score to the study and ask its pruner."""
        if trial.reference is None or self.search.pruner == "none":
            return ""
        study = self._study
        with _quiet():
            frozen = study.trials[trial.reference]
            live = self._live(study, trial.reference)
            # A resumed trial repeats scores.
            if iteration not in frozen.intermediate_values:
                live.report(cost, iteration)
            if not live.should_prune():
                return ""
        return f"fell behind the other trials at iteration {iteration} ({self.search.pruner})"

    def end(self) -> None:
        """Close the study's file."""
        storage = self._study._storage
        for one in (storage, getattr(storage, "_backend", storage)):
            if hasattr(one, "engine"):
                one.remove_session()
                one.engine.dispose()

    def importances(self) -> Mapping[str, float]:
        """Return PED-ANOVA's importances (Watanabe et al. 2023, arXiv:2304.10255)."""
        optuna = _optuna()
        try:
            with _quiet():
                evaluator = optuna.importance.PedAnovaImportanceEvaluator()
                found = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        except (ValueError, RuntimeError):  # too few trials, or all alike
            return {}
        return {str(name): float(value) for name, value in found.items()}

    @cached_property
    def _study(self) -> Any:
        optuna, training = _optuna(), self.search.base.training
        every = self.search.base.scoring.score_every or training.iterations
        with _quiet():
            storage = optuna.storages.RDBStorage(
                f"sqlite:///{(self.folder / STUDY).resolve()}",
                engine_kwargs={"connect_args": {"timeout": 60}},  # for locks of other processes
            )
            return optuna.create_study(
                study_name=_NAME,
                storage=storage,
                pruner=_PRUNERS[self.search.pruner](optuna, (every, training.iterations)),
                direction="minimize",
                load_if_exists=True,
            )

    def _sample(self, study: Any, recorded: set[int | None]) -> Any:
        """Return the next sample, or one that a killed process left without a trial."""
        with _quiet():
            for frozen in study.get_trials(deepcopy=False, states=(_state("RUNNING"),)):
                if frozen.number not in recorded:
                    return self._live(study, frozen.number)
            return study.ask()

    def _live(self, study: Any, number: int) -> Any:
        """Return a handle on a sample of an earlier call or another process."""
        return _optuna().trial.Trial(study, study.trials[number]._trial_id)

    def _suggested(self, sample: Any) -> tuple[dict[str, dict[str, str]], str, dict[str, float]]:
        """Return the action of each layer, the steps that follow, and the tuned settings."""
        with _quiet():
            choices = {
                role: {
                    layer: str(sample.suggest_categorical(f"{role}.{layer}", list(actions)))
                    for layer, actions in self.space.layers[role].items()
                }
                for role in self.space.searched
            }
            endings = self.space.endings
            ending = endings[0]
            if len(endings) > 1:
                ending = str(sample.suggest_categorical(_STEPS, list(endings)))
            ranges = self.search.ranges()
            values = {  # three digits are enough, and keep files readable
                name: float(f"{sample.suggest_float(name, *ranges[name], log=True):.3g}")
                for name in self._tuned_with(choices)
            }
        return choices, ending, values

    def _tuned_with(self, choices: Choices) -> list[str]:
        modulates = any(
            ACTIONS[action].modulates
            for role in self.space.layers
            for action in self.space.actions(role, choices).values()
        )
        return [n for n in self.search.ranges() if modulates or n != _MODULATION_RATE]

    def _presets(self) -> dict[str, dict[str, dict[str, str]]]:
        names = ("combined", "fine_tune", "freeze", "adafm")
        found = {name: self.space.choices_of(str(PRESETS[name])) for name in names}
        return {name: choices for name, choices in found.items() if choices is not None}

    def _usual(self) -> dict[str, float]:
        """Return the values of the tuned settings in the base, clamped to their ranges."""
        base = self.search.base
        assert base.source is not None  # checked
        architecture = open_source(base.source).card.architecture
        settled = replace(
            base,
            optimization=base.usual_optimization(architecture),
            augmentation=base.usual_augmentation(),
        )
        usual = flat(to_plain(settled))
        return {
            name: min(high, max(low, float(usual.get(name, low))))
            for name, (low, high) in self.search.ranges().items()
        }


_PRUNERS: dict[str, Callable[[Any, tuple[int, int]], Any]] = {
    "median": lambda optuna, steps: optuna.pruners.MedianPruner(
        n_startup_trials=_BEFORE_PRUNING, n_warmup_steps=int(_UNPRUNED_SHARE * steps[1])
    ),
    "halving": lambda optuna, steps: optuna.pruners.SuccessiveHalvingPruner(
        min_resource=_first_rung(*steps), reduction_factor=2
    ),
    "hyperband": lambda optuna, steps: optuna.pruners.HyperbandPruner(
        min_resource=_first_rung(*steps), max_resource=steps[1], reduction_factor=2
    ),
    "none": lambda optuna, steps: optuna.pruners.NopPruner(),
}


def _first_rung(every: int, iterations: int) -> int:
    """Return the first scored iteration at which trials may be compared."""
    return min(iterations, every * math.ceil(_FIRST_RUNG * iterations / every))


def _optuna() -> Any:
    """Return the optional package; raise SettingsError if it is not installed."""
    try:
        optuna = cast("Any", importlib.import_module("optuna"))
    except ImportError:
        raise SettingsError(
            "--strategy optuna needs optuna, which is missing; run 'pip install optuna', or take "
            "--strategy gradual"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _state(name: str) -> Any:
    return getattr(_optuna().trial.TrialState, name)


@contextmanager
def _quiet() -> Generator[None]:
    """Silence Optuna's warnings of its experimental features."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
