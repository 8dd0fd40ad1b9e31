"""What half precision costs an adapter, and how its running variances are best mixed.

For each run: how far the pictures of its adapter in 16 bit are from those in 32 bit; at weights
between and beyond source and target, how far two ways of mixing running variances are from the
variances that the mixed weights really have. Only norms whose statistics the run changed count.

    python scripts/measure_adapters.py RUN ... --out experiments/results/adapters.jsonl
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import BatchNorm2d

from graftgan.core.files import write_text
from graftgan.core.network_types import Generator
from graftgan.experiments.run_folder import versions
from graftgan.models.adapters.adapter import load_adapter
from graftgan.models.adapters.bank import AdapterBank
from graftgan.networks.sampling import generate, random_latents

PICTURES = 256
WEIGHTS = (0.25, 0.5, 0.75, 1.25)


def half_error(bank: AdapterBank) -> dict[str, Any]:
    """Return how the pictures of ``full`` and ``half`` differ, in levels of 255."""
    latents = random_latents(PICTURES, bank.base.pair.architecture.latent_size, seed=0)
    full, half = (generate(bank.generator(name), latents).int() for name in ("full", "half"))
    difference = (full - half).abs()
    return {
        "pictures": PICTURES,
        "largest_levels": int(difference.max()),
        "mean_levels": float(difference.float().mean()),
        "changed_share": float((difference > 0).float().mean()),
    }


def variance_errors(bank: AdapterBank) -> Iterator[dict[str, Any]]:
    """Yield, for each weight, the mean |ln(mixed / true)| of both ways to mix variances."""
    source, target = (variances_of(bank.generator(w)) for w in ({}, "full"))
    names = [name for name in source if not torch.equal(source[name], target[name])]
    for weight in WEIGHTS if names else ():
        mixed = bank.generator({"full": weight})
        true = true_variances(mixed)
        geometric = variances_of(mixed)
        straight = {n: (1 - weight) * source[n] + weight * target[n] for n in names}
        lost = sum(int((straight[n] <= 0).sum()) for n in names)
        yield {
            "weight": weight,
            "channels": sum(true[n].numel() for n in names),
            "geometric": mean_log_ratio(geometric, true, names),
            "straight": None if lost else mean_log_ratio(straight, true, names),
            "straight_not_positive": lost,
        }


def norms_in(generator: Generator) -> dict[str, BatchNorm2d]:
    """Return every batch normalisation by name."""
    return {n: m for n, m in generator.named_modules() if isinstance(m, BatchNorm2d)}


def variances_of(generator: Generator) -> dict[str, Tensor]:
    """Return the running variances by the name of their norm."""
    return {n: m.running_var for n, m in norms_in(generator).items() if m.running_var is not None}


@torch.no_grad()
def true_variances(generator: Generator) -> dict[str, Tensor]:
    """Return what the inputs of each norm vary by, each norm following the batch."""
    found: dict[str, Tensor] = {}

    def remember(name: str) -> Any:
        def hook(module: BatchNorm2d, inputs: tuple[Tensor], output: Tensor) -> None:
            del module, output
            found[name] = inputs[0].var((0, 2, 3))

        return hook

    for name, norm in norms_in(generator).items():
        norm.register_forward_hook(remember(name))
        norm.momentum = 0.0  # measure, and leave the running statistics as they are
        norm.train()
    generator(random_latents(4 * PICTURES, generator.architecture.latent_size, seed=1))
    return found


def mean_log_ratio(ours: dict[str, Tensor], true: dict[str, Tensor], names: list[str]) -> float:
    """Return the mean over channels of |ln(ours / true)|."""
    ratios = torch.cat([(ours[n] / true[n]).log().abs() for n in names])
    return float(ratios.mean())


def measure(run: Path) -> dict[str, Any]:
    """Return everything about one run's adapter."""
    adapter = load_adapter(run)
    bank = AdapterBank(adapter.note.base)
    bank.add("full", adapter)
    bank.add("half", adapter.in_half())
    return {
        "base": bank.base.card.name,
        "pictures": Path(adapter.note.pictures).stem,
        "plan": adapter.note.plan,
        "iteration": adapter.note.iteration,
        "half": half_error(bank),
        "variances": list(variance_errors(bank)),
        "versions": versions(),
    }


def main() -> None:
    """Measure every run and write a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    lines = [json.dumps(measure(run)) for run in options.runs]
    write_text(options.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
