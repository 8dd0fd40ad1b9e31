"""graftgan: transfer learning of GANs on small image sets.

    from pathlib import Path
    from graftgan import Experiment, TrainingSettings, generate, open_source, random_latents, run

    experiment = Experiment(
        pictures=Path("my_pictures"),
        source="avatars-64",
        plan="D(1,2,2) G(1,2,2)",
        augment="diffaugment_color_translation",
        training=TrainingSettings(iterations=900),
    )
    folder = run(experiment, Path("runs/mine"))
    generator = open_source(str(folder.path)).pair.generator
    pictures = generate(generator, random_latents(64, 100, seed=0))  # uint8 (64, 3, 64, 64)

Names are loaded when they are first used: ``import graftgan`` alone does not load torch. It loads
next to nothing, since until the command line has begun Python answers Ctrl-C with a traceback.
"""

TYPE_CHECKING = False  # as of typing, which takes longer to load than all of this
if TYPE_CHECKING:
    from typing import Any

    from graftgan.core.errors import GraftganError as GraftganError
    from graftgan.experiments.experiment import Experiment as Experiment
    from graftgan.experiments.experiment import NetworkSettings as NetworkSettings
    from graftgan.experiments.methods import with_method as with_method
    from graftgan.experiments.run_folder import RunFolder as RunFolder
    from graftgan.experiments.run_folder import load_run as load_run
    from graftgan.experiments.run_page import write_run_report as write_run_report
    from graftgan.metrics import compare as compare
    from graftgan.metrics.settings import ScoringSettings as ScoringSettings
    from graftgan.models.adapters.adapter import load_adapter as load_adapter
    from graftgan.models.adapters.bank import AdapterBank as AdapterBank
    from graftgan.models.adapters.bank import fold_adapter as fold_adapter
    from graftgan.models.adapters.bank import mix_adapters as mix_adapters
    from graftgan.models.adapters.bank import slide as slide
    from graftgan.models.adapters.bank import with_adapter as with_adapter
    from graftgan.models.convert import import_source as import_source
    from graftgan.models.export.form import export_model as export_model
    from graftgan.models.export.single_files import load_generator as load_generator
    from graftgan.models.sources import list_sources as list_sources
    from graftgan.models.sources import open_source as open_source
    from graftgan.models.sources import pack_run as pack_run
    from graftgan.models.styles import ProjectionSettings as ProjectionSettings
    from graftgan.models.styles import mixed_grid as mixed_grid
    from graftgan.models.styles import project as project
    from graftgan.networks.sampling import generate as generate
    from graftgan.networks.sampling import interpolation_latents as interpolation_latents
    from graftgan.networks.sampling import latents_for as latents_for
    from graftgan.networks.sampling import latents_of_seeds as latents_of_seeds
    from graftgan.networks.sampling import random_latents as random_latents
    from graftgan.pictures import DataSettings as DataSettings
    from graftgan.pictures import load_image_set as load_image_set
    from graftgan.pictures import render_avatars as render_avatars
    from graftgan.runs.evaluation import EvaluationSettings as EvaluationSettings
    from graftgan.runs.evaluation import evaluate as evaluate
    from graftgan.runs.evaluation import floor as floor
    from graftgan.runs.rescoring import evaluate_again as evaluate_again
    from graftgan.runs.run import Observer as Observer
    from graftgan.runs.run import resume as resume
    from graftgan.runs.run import run as run
    from graftgan.studies.comparison import Comparison as Comparison
    from graftgan.studies.plan_search import Budget as Budget
    from graftgan.studies.plan_search import PlanSearch as PlanSearch
    from graftgan.studies.queue import extend_comparison as extend_comparison
    from graftgan.studies.queue import resume_comparison as resume_comparison
    from graftgan.studies.queue import resume_search as resume_search
    from graftgan.studies.queue import run_comparison as run_comparison
    from graftgan.studies.queue import run_search as run_search
    from graftgan.training import TrainingSettings as TrainingSettings
    from graftgan.training.augment import AugmentationSettings as AugmentationSettings
    from graftgan.training.objectives import OptimizationSettings as OptimizationSettings
    from graftgan.transfer import RegularizerSettings as RegularizerSettings
    from graftgan.transfer import TransferSettings as TransferSettings
    from graftgan.transfer import apply_plan as apply_plan
    from graftgan.transfer import fold as fold
    from graftgan.transfer import parse_plan as parse_plan

_NAMES_IN = {
    "core.errors": ("GraftganError",),
    "experiments.experiment": (
        "Experiment",
        "NetworkSettings",
    ),
    "experiments.methods": ("with_method",),
    "experiments.run_folder": (
        "RunFolder",
        "load_run",
    ),
    "experiments.run_page": ("write_run_report",),
    "metrics": ("compare",),
    "metrics.settings": ("ScoringSettings",),
    "models.adapters.adapter": ("load_adapter",),
    "models.adapters.bank": (
        "AdapterBank",
        "fold_adapter",
        "mix_adapters",
        "slide",
        "with_adapter",
    ),
    "models.convert": ("import_source",),
    "models.export.form": ("export_model",),
    "models.export.single_files": ("load_generator",),
    "models.sources": (
        "list_sources",
        "open_source",
        "pack_run",
    ),
    "models.styles": (
        "ProjectionSettings",
        "mixed_grid",
        "project",
    ),
    "networks.sampling": (
        "generate",
        "interpolation_latents",
        "latents_for",
        "latents_of_seeds",
        "random_latents",
    ),
    "pictures": (
        "DataSettings",
        "load_image_set",
        "render_avatars",
    ),
    "runs.evaluation": (
        "EvaluationSettings",
        "evaluate",
        "floor",
    ),
    "runs.rescoring": ("evaluate_again",),
    "runs.run": (
        "Observer",
        "resume",
        "run",
    ),
    "studies.comparison": ("Comparison",),
    "studies.plan_search": (
        "Budget",
        "PlanSearch",
    ),
    "studies.queue": (
        "extend_comparison",
        "resume_comparison",
        "resume_search",
        "run_comparison",
        "run_search",
    ),
    "training": ("TrainingSettings",),
    "training.augment": ("AugmentationSettings",),
    "training.objectives": ("OptimizationSettings",),
    "transfer": (
        "RegularizerSettings",
        "TransferSettings",
        "apply_plan",
        "fold",
        "parse_plan",
    ),
}
_HOMES = {name: home for home, names in _NAMES_IN.items() for name in names}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> "Any":
    """Load a public name from its home on first use."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'graftgan' has no attribute '{name}'")
    return getattr(import_module(f"graftgan.{_HOMES[name]}"), name)
