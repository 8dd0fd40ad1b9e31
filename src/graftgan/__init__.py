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

Names are loaded when they are first used: ``import graftgan`` alone does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graftgan.core.errors import GraftganError
    from graftgan.experiments.experiment import Experiment, NetworkSettings
    from graftgan.experiments.methods import with_method
    from graftgan.experiments.run_folder import RunFolder, load_run
    from graftgan.experiments.run_page import write_run_report
    from graftgan.metrics import ScoringSettings, compare
    from graftgan.models.adapters import (
        AdapterBank,
        fold_adapter,
        load_adapter,
        mix_adapters,
        slide,
        with_adapter,
    )
    from graftgan.models.convert import import_source
    from graftgan.models.export import export_model, load_generator
    from graftgan.models.projection import ProjectionSettings, project
    from graftgan.models.sources import list_sources, open_source, pack_run
    from graftgan.models.styles import mixed_grid
    from graftgan.networks.sampling import (
        generate,
        interpolation_latents,
        latents_for,
        latents_of_seeds,
        random_latents,
    )
    from graftgan.pictures import DataSettings, load_image_set, render_avatars
    from graftgan.runs.evaluation import EvaluationSettings, evaluate, floor
    from graftgan.runs.rescoring import evaluate_again
    from graftgan.runs.run import resume, run
    from graftgan.runs.session import Observer
    from graftgan.studies import (
        Budget,
        Comparison,
        PlanSearch,
        extend_comparison,
        resume_comparison,
        resume_search,
        run_comparison,
        run_search,
    )
    from graftgan.training import TrainingSettings
    from graftgan.training.augment import AugmentationSettings
    from graftgan.training.objectives import OptimizationSettings
    from graftgan.transfer import (
        RegularizerSettings,
        TransferSettings,
        apply_plan,
        fold,
        parse_plan,
    )

_HOMES = {
    "AdapterBank": "models.adapters",
    "RegularizerSettings": "transfer",
    "AugmentationSettings": "training.augment",
    "Budget": "studies",
    "Comparison": "studies",
    "DataSettings": "pictures",
    "EvaluationSettings": "runs.evaluation",
    "Experiment": "experiments.experiment",
    "GraftganError": "core.errors",
    "NetworkSettings": "experiments.experiment",
    "OptimizationSettings": "training.objectives",
    "PlanSearch": "studies",
    "ProjectionSettings": "models.projection",
    "RunFolder": "experiments.run_folder",
    "ScoringSettings": "metrics",
    "TrainingSettings": "training",
    "TransferSettings": "transfer",
    "Observer": "runs.session",
    "apply_plan": "transfer",
    "compare": "metrics",
    "evaluate": "runs.evaluation",
    "evaluate_again": "runs.rescoring",
    "export_model": "models.export",
    "extend_comparison": "studies",
    "floor": "runs.evaluation",
    "fold": "transfer",
    "fold_adapter": "models.adapters",
    "generate": "networks.sampling",
    "import_source": "models.convert",
    "interpolation_latents": "networks.sampling",
    "latents_for": "networks.sampling",
    "latents_of_seeds": "networks.sampling",
    "list_sources": "models.sources",
    "load_adapter": "models.adapters",
    "load_generator": "models.export",
    "load_image_set": "pictures",
    "load_run": "experiments.run_folder",
    "mix_adapters": "models.adapters",
    "mixed_grid": "models.styles",
    "open_source": "models.sources",
    "pack_run": "models.sources",
    "parse_plan": "transfer",
    "project": "models.projection",
    "random_latents": "networks.sampling",
    "render_avatars": "pictures",
    "resume": "runs.run",
    "resume_comparison": "studies",
    "resume_search": "studies",
    "run": "runs.run",
    "run_comparison": "studies",
    "run_search": "studies",
    "slide": "models.adapters",
    "with_adapter": "models.adapters",
    "with_method": "experiments.methods",
    "write_run_report": "experiments.run_page",
}

__all__ = [
    "AdapterBank",
    "AugmentationSettings",
    "Budget",
    "Comparison",
    "DataSettings",
    "EvaluationSettings",
    "Experiment",
    "GraftganError",
    "NetworkSettings",
    "Observer",
    "OptimizationSettings",
    "PlanSearch",
    "ProjectionSettings",
    "RegularizerSettings",
    "RunFolder",
    "ScoringSettings",
    "TrainingSettings",
    "TransferSettings",
    "apply_plan",
    "compare",
    "evaluate",
    "evaluate_again",
    "export_model",
    "extend_comparison",
    "floor",
    "fold",
    "fold_adapter",
    "generate",
    "import_source",
    "interpolation_latents",
    "latents_for",
    "latents_of_seeds",
    "list_sources",
    "load_adapter",
    "load_generator",
    "load_image_set",
    "load_run",
    "mix_adapters",
    "mixed_grid",
    "open_source",
    "pack_run",
    "parse_plan",
    "project",
    "random_latents",
    "render_avatars",
    "resume",
    "resume_comparison",
    "resume_search",
    "run",
    "run_comparison",
    "run_search",
    "slide",
    "with_adapter",
    "with_method",
    "write_run_report",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its home on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'graftgan' has no attribute '{name}'")
    return getattr(import_module(f"graftgan.{_HOMES[name]}"), name)
