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
    from graftgan.adapters import (
        AdapterBank,
        fold_adapter,
        load_adapter,
        mix_adapters,
        slide,
        with_adapter,
    )
    from graftgan.augment import AugmentationSettings
    from graftgan.composer import resume, run
    from graftgan.data import DataSettings, load_image_set, render_avatars
    from graftgan.errors import GraftganError
    from graftgan.evaluation import EvaluationSettings, evaluate, floor
    from graftgan.experiment import Experiment, NetworkSettings
    from graftgan.export import export_model, load_generator
    from graftgan.imports import import_source
    from graftgan.methods import with_method
    from graftgan.metrics import ScoringSettings, compare
    from graftgan.objectives import OptimizationSettings
    from graftgan.projection import ProjectionSettings, project
    from graftgan.reports import write_run_report
    from graftgan.rescoring import evaluate_again
    from graftgan.run_folder import RunFolder, load_run
    from graftgan.sampling import (
        generate,
        interpolation_latents,
        latents_for,
        latents_of_seeds,
        random_latents,
    )
    from graftgan.search import (
        Budget,
        Comparison,
        PlanSearch,
        extend_comparison,
        resume_comparison,
        resume_search,
        run_comparison,
        run_search,
    )
    from graftgan.sitting import Watcher
    from graftgan.sources import list_sources, open_source, pack_run
    from graftgan.styles import mixed_sheet
    from graftgan.training import TrainingSettings
    from graftgan.transfer import AnchorSettings, TransferSettings, apply_plan, fold, parse_plan

_HOMES = {
    "AdapterBank": "adapters",
    "AnchorSettings": "transfer",
    "AugmentationSettings": "augment",
    "Budget": "search",
    "Comparison": "search",
    "DataSettings": "data",
    "EvaluationSettings": "evaluation",
    "Experiment": "experiment",
    "GraftganError": "errors",
    "NetworkSettings": "experiment",
    "OptimizationSettings": "objectives",
    "PlanSearch": "search",
    "ProjectionSettings": "projection",
    "RunFolder": "run_folder",
    "ScoringSettings": "metrics",
    "TrainingSettings": "training",
    "TransferSettings": "transfer",
    "Watcher": "sitting",
    "apply_plan": "transfer",
    "compare": "metrics",
    "evaluate": "evaluation",
    "evaluate_again": "rescoring",
    "export_model": "export",
    "extend_comparison": "search",
    "floor": "evaluation",
    "fold": "transfer",
    "fold_adapter": "adapters",
    "generate": "sampling",
    "import_source": "imports",
    "interpolation_latents": "sampling",
    "latents_for": "sampling",
    "latents_of_seeds": "sampling",
    "list_sources": "sources",
    "load_adapter": "adapters",
    "load_generator": "export",
    "load_image_set": "data",
    "load_run": "run_folder",
    "mix_adapters": "adapters",
    "mixed_sheet": "styles",
    "open_source": "sources",
    "pack_run": "sources",
    "parse_plan": "transfer",
    "project": "projection",
    "random_latents": "sampling",
    "render_avatars": "data",
    "resume": "composer",
    "resume_comparison": "search",
    "resume_search": "search",
    "run": "composer",
    "run_comparison": "search",
    "run_search": "search",
    "slide": "adapters",
    "with_adapter": "adapters",
    "with_method": "methods",
    "write_run_report": "reports",
}

__all__ = [
    "AdapterBank",
    "AnchorSettings",
    "AugmentationSettings",
    "Budget",
    "Comparison",
    "DataSettings",
    "EvaluationSettings",
    "Experiment",
    "GraftganError",
    "NetworkSettings",
    "OptimizationSettings",
    "PlanSearch",
    "ProjectionSettings",
    "RunFolder",
    "ScoringSettings",
    "TrainingSettings",
    "TransferSettings",
    "Watcher",
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
    "mixed_sheet",
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
