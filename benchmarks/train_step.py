"""How fast one training iteration is: beside the textbook loop, and under each transfer preset.

Two comparisons, each interleaved (A B A B ...) in one run, so that whatever else the machine does
hits every contestant alike; only ratios from one run mean something.

1. The textbook WGAN loop in plain float32, written out below, against the same loop of graftgan.
   Before any timing both must agree on the work: equal numbers of parameters, equal numbers of
   critic and generator steps, equal floating-point operations (counted by
   ``torch.utils.flop_counter`` over one float32 iteration of each; it counts convolutions and
   matrix products).
2. The transfer presets from one source, for each of two objectives.

Peak memory is that of a fresh process for each side.
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from graftgan.checkpoints import SourceCard, save_source
from graftgan.core.network_types import Architecture
from graftgan.experiments.experiment import Experiment, NetworkSettings
from graftgan.networks.backbone import build_pair
from graftgan.runs.build import build_training, prepare
from graftgan.training import Hardware, Processes, TrainingSettings, choose_hardware
from graftgan.transfer import PRESETS
from memory import peak_mib

LATENT_SIZE = 100
CRITIC_STEPS = 5
WEIGHT_CLIP = 0.01
LEARNING_RATE = 5e-5
PICTURES = 256
PLAN_OBJECTIVES = ("hinge", "wgan")
BASELINE_PLAN = "fine_tune"
MATMUL_SIDES = (1024, 2048, 4096)
QUICK_MATMUL_SIDES = (512,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is measured.

    Attributes:
        width: Channels of the widest feature map.
        repeats: Timed rounds; one more goes before them to warm up.
        threads: Threads of torch.
        quick: Measure the matmul peak on a small product only.
    """

    resolution: int
    width: int
    batch_size: int
    repeats: int
    threads: int
    precision: str
    quick: bool

    @property
    def architecture(self) -> Architecture:
        """The networks of both sides."""
        return Architecture(
            backbone="dcgan",
            resolution=self.resolution,
            width=self.width,
            latent_size=LATENT_SIZE,
        )


@dataclass(frozen=True, slots=True)
class Workplace:
    """A folder with the pictures and the source that every contestant starts from."""

    folder: Path

    @property
    def pictures(self) -> Path:
        """Random pictures, uint8 (n, h, w, c)."""
        return self.folder / "pictures.npz"

    @property
    def source(self) -> Path:
        """A source with fresh weights: speed does not depend on what it learned."""
        return self.folder / "source"


class Contestant(Protocol):
    """A training that can do one iteration after the other."""

    def iterate(self) -> None:
        """Do one iteration: the critic's steps, then the generator's."""
        ...

    @property
    def networks(self) -> tuple[nn.Module, nn.Module]:
        """The generator and the critic."""
        ...

    @property
    def optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """The generator's and the critic's."""
        ...


# The textbook -----------------------------------------------------------------------------------


def textbook_generator(settings: Settings) -> nn.Sequential:
    """Return the generator of the PyTorch DCGAN example, with a bias in its last layer."""
    channels = _textbook_channels(settings)[::-1]
    layers: list[nn.Module] = [
        nn.ConvTranspose2d(LATENT_SIZE, channels[0], 4, 1, 0, bias=False),
        nn.BatchNorm2d(channels[0]),
        nn.ReLU(True),
    ]
    for inputs, outputs in pairwise(channels):
        layers += [
            nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(True),
        ]
    layers += [nn.ConvTranspose2d(channels[-1], 3, 4, 2, 1), nn.Tanh()]
    return nn.Sequential(*layers)


def textbook_critic(settings: Settings) -> nn.Sequential:
    """Return the example's discriminator with the fully connected end of papers 000 and 001."""
    channels = _textbook_channels(settings)
    layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for inputs, outputs in pairwise(channels):
        layers += [
            nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.2, True),
        ]
    layers += [nn.Flatten(), nn.Linear(channels[-1] * 4 * 4, 1)]
    return nn.Sequential(*layers)


def _textbook_channels(settings: Settings) -> list[int]:
    halvings = settings.resolution.bit_length() - 3
    return [settings.width * min(2**i, 8) for i in range(halvings)]


class TextbookLoop:
    """WGAN as its authors' script plays it (Arjovsky et al. 2017), in plain float32.

    Like that script it spares itself the generator's graph in the critic's steps and the critic's
    weight gradients in the generator's.
    """

    def __init__(self, pictures: Tensor, settings: Settings) -> None:
        torch.manual_seed(0)
        self._pictures = pictures
        self._batch_size = settings.batch_size
        self._generator = textbook_generator(settings)
        self._critic = textbook_critic(settings)
        for network in self.networks:
            network.apply(_textbook_weights)
        self._generator_optimizer = torch.optim.RMSprop(
            self._generator.parameters(), lr=LEARNING_RATE
        )
        self._critic_optimizer = torch.optim.RMSprop(self._critic.parameters(), lr=LEARNING_RATE)

    @property
    def networks(self) -> tuple[nn.Module, nn.Module]:
        """The generator and the critic."""
        return self._generator, self._critic

    @property
    def optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """The generator's and the critic's."""
        return self._generator_optimizer, self._critic_optimizer

    def iterate(self) -> None:
        """Do five critic steps and one generator step."""
        for parameter in self._critic.parameters():
            parameter.requires_grad = True
        for _ in range(CRITIC_STEPS):
            for parameter in self._critic.parameters():
                parameter.data.clamp_(-WEIGHT_CLIP, WEIGHT_CLIP)
            chosen = torch.randint(len(self._pictures), (self._batch_size,))
            real = self._pictures[chosen].float() / 127.5 - 1
            with torch.no_grad():
                fake = self._generator(self._noise())
            self._critic_optimizer.zero_grad()
            loss = self._critic(fake).mean() - self._critic(real).mean()
            loss.backward()
            self._critic_optimizer.step()
        for parameter in self._critic.parameters():
            parameter.requires_grad = False
        self._generator_optimizer.zero_grad()
        loss = -self._critic(self._generator(self._noise())).mean()
        loss.backward()
        self._generator_optimizer.step()

    def _noise(self) -> Tensor:
        return torch.randn(self._batch_size, LATENT_SIZE, 1, 1)


def _textbook_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


# Ours -------------------------------------------------------------------------------------------


class OurLoop:
    """A training of graftgan, put together as the command line does it, without callbacks."""

    def __init__(
        self,
        workplace: Workplace,
        settings: Settings,
        hardware: Hardware,
        *,
        objective: str,
        plan: str | None = None,
    ) -> None:
        experiment = Experiment(
            pictures=workplace.pictures,
            source=None if plan is None else str(workplace.source),
            plan=plan or BASELINE_PLAN,
            objective=objective,
            augment="none",
            network=_network_settings(settings) if plan is None else NetworkSettings(),
            training=TrainingSettings(batch_size=settings.batch_size),
        )
        prepared = prepare(experiment, hardware)
        self.trainable_parameters = prepared.plan.report.trainable
        self._training = build_training(prepared, Processes())

    @property
    def networks(self) -> tuple[nn.Module, nn.Module]:
        """The generator and the critic."""
        return self._training.pair.generator, self._training.pair.discriminator

    @property
    def optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """The generator's and the critic's."""
        critic, generator = self._training.updates
        return generator.optimizer, critic.optimizer

    def iterate(self) -> None:
        """Do one iteration, the generator's running average included."""
        self._training.iterations = self._training.iteration + 1
        self._training.run()


def _network_settings(settings: Settings) -> NetworkSettings:
    return NetworkSettings(
        resolution=settings.resolution, width=settings.width, latent_size=LATENT_SIZE
    )


# Measuring --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one float32 iteration does."""

    parameters: int
    critic_steps: int
    generator_steps: int
    flops: int


def work_of(contestant: Contestant) -> Work:
    """Count parameters, optimizer steps and floating-point operations over one iteration."""
    steps = [0, 0]

    def counter(index: int) -> Callable[..., None]:
        def count(*_: object) -> None:
            steps[index] += 1

        return count

    hooks = [
        optimizer.register_step_post_hook(counter(index))
        for index, optimizer in enumerate(contestant.optimizers)
    ]
    with FlopCounterMode(display=False) as flops:
        contestant.iterate()
    for hook in hooks:
        hook.remove()
    parameters = sum(p.numel() for network in contestant.networks for p in network.parameters())
    return Work(
        parameters=parameters,
        critic_steps=steps[1],
        generator_steps=steps[0],
        flops=flops.get_total_flops(),
    )


def time_in_turns(contestants: Mapping[str, Contestant], *, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each iteration; every round lets each contestant do one."""
    for contestant in contestants.values():
        contestant.iterate()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            begin = time.perf_counter()
            contestant.iterate()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def ratios(slower: Sequence[float], faster: Sequence[float]) -> dict[str, float]:
    """Return the median and the smallest of the ratios of each round."""
    each = [a / b for a, b in zip(slower, faster, strict=True)]
    return {"median": statistics.median(each), "min": min(each)}


def matmul_peak(sides: Sequence[int], dtype: torch.dtype) -> float:
    """Return the most floating-point operations per second of a square matrix product."""
    best = 0.0
    for side in sides:
        left, right = (torch.ones(side, side, dtype=dtype) for _ in range(2))
        for _ in range(4):  # the first warms up
            begin = time.perf_counter()
            torch.mm(left, right)
            best = max(best, 2 * side**3 / (time.perf_counter() - begin))
    return best


def peak_memory_mib(side: str, workplace: Workplace, settings: Settings) -> dict[str, float]:
    """Return this process's peak memory after two iterations, and what the imports took of it.

    Run it in a fresh process: the operating system reports one peak for a whole process.
    """
    torch.set_num_threads(settings.threads)
    imports = peak_mib()
    contestant = _side(side, workplace, settings)
    for _ in range(2):
        contestant.iterate()
    return {"peak": peak_mib(), "imports": imports}


def _side(side: str, workplace: Workplace, settings: Settings) -> Contestant:
    if side == "textbook":
        with np.load(workplace.pictures) as arrays:
            pictures = torch.from_numpy(arrays["pictures"]).permute(0, 3, 1, 2).contiguous()
        return TextbookLoop(pictures, settings)
    return OurLoop(workplace, settings, _hardware(settings), objective="wgan")


def _hardware(settings: Settings) -> Hardware:
    return choose_hardware("cpu", settings.precision)


# The two comparisons ----------------------------------------------------------------------------


def compare_with_textbook(workplace: Workplace, settings: Settings) -> dict[str, Any]:
    """Measure ours beside the textbook loop.

    Raises:
        RuntimeError: The two do not do the same work, so that a ratio would mean nothing.
    """
    sides = ("textbook", "graftgan")
    memory = {side: _in_fresh_process(side, workplace, settings) for side in sides}
    work = {
        "textbook": work_of(_side("textbook", workplace, settings)),
        "graftgan": work_of(
            OurLoop(workplace, settings, choose_hardware("cpu", "float32"), objective="wgan")
        ),
    }
    if work["textbook"] != work["graftgan"]:
        raise RuntimeError(f"the two sides do not do the same work: {work}")
    matmul_sides = QUICK_MATMUL_SIDES if settings.quick else MATMUL_SIDES
    peak = matmul_peak(matmul_sides, torch.bfloat16)
    contestants = {side: _side(side, workplace, settings) for side in sides}
    seconds = time_in_turns(contestants, rounds=settings.repeats)
    peak = max(peak, matmul_peak(matmul_sides, torch.bfloat16))  # the machine may have been busy
    real_images = CRITIC_STEPS * settings.batch_size
    flops = work["graftgan"].flops
    return {
        "work": asdict(work["graftgan"]),
        "flops_counted_by": "torch.utils.flop_counter on one float32 iteration",
        "bfloat16_matmul_peak_flops": peak,
        "speedup": ratios(seconds["textbook"], seconds["graftgan"]),
        "sides": {
            side: {
                "seconds": seconds[side],
                "median_seconds": statistics.median(seconds[side]),
                "real_images_per_second": real_images / statistics.median(seconds[side]),
                "share_of_peak": flops / statistics.median(seconds[side]) / peak,
                "memory_mib": memory[side],
            }
            for side in sides
        },
    }


def compare_plans(workplace: Workplace, settings: Settings, objective: str) -> dict[str, Any]:
    """Measure every preset beside fine-tuning, from one source."""
    hardware = _hardware(settings)
    contestants = {
        plan: OurLoop(workplace, settings, hardware, objective=objective, plan=plan)
        for plan in PRESETS
    }
    seconds = time_in_turns(contestants, rounds=settings.repeats)
    plans = {
        plan: {
            "trainable_parameters": contestants[plan].trainable_parameters,
            "seconds": seconds[plan],
            "median_seconds": statistics.median(seconds[plan]),
            "speedup": ratios(seconds[BASELINE_PLAN], seconds[plan]),
        }
        for plan in PRESETS
    }
    pays = ratios(seconds[BASELINE_PLAN], seconds["freeze"])["median"] > 1.0
    return {"plans": plans, "freezing_pays": pays}


def _in_fresh_process(side: str, workplace: Workplace, settings: Settings) -> dict[str, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(peak_memory_mib, (side, workplace, settings))


@contextmanager
def workplace_of(settings: Settings) -> Generator[Workplace]:
    """Make pictures of a fixed seed and a source with fresh weights; remove them afterwards."""
    with tempfile.TemporaryDirectory(prefix="graftgan-benchmark-") as folder:
        os.environ["GRAFTGAN_CACHE"] = str(Path(folder) / "cache")
        workplace = Workplace(Path(folder))
        shape = (PICTURES, settings.resolution, settings.resolution, 3)
        pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        np.savez(workplace.pictures, pictures=pictures)
        pair = build_pair(settings.architecture)
        card = SourceCard(name="fresh", architecture=settings.architecture)
        save_source(workplace.source, pair, card)
        yield workplace


# The report -------------------------------------------------------------------------------------


def measure(settings: Settings) -> dict[str, Any]:
    """Run both comparisons and return every number as plain data."""
    torch.set_num_threads(settings.threads)
    with workplace_of(settings) as workplace:
        return {
            "machine": {
                "processor": _processor_name(),
                "hardware": _hardware(settings).describe(),
                "cores": os.cpu_count(),
                "threads": settings.threads,
                "load_average": os.getloadavg()[0],
                "system": platform.platform(),
                "python": platform.python_version(),
                "torch": torch.__version__,
            },
            "settings": asdict(settings),
            "textbook": compare_with_textbook(workplace, settings),
            "plans": {o: compare_plans(workplace, settings, o) for o in PLAN_OBJECTIVES},
        }


def _processor_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def show(results: Mapping[str, Any], console: Console) -> None:
    """Print the tables."""
    machine, settings, textbook = results["machine"], results["settings"], results["textbook"]
    console.print(
        f"{machine['processor']}, torch {machine['torch']}, {machine['hardware']}; "
        f"DCGAN {settings['resolution']} px, width {settings['width']}, "
        f"batch {settings['batch_size']}, {settings['repeats']} interleaved rounds",
        highlight=False,
    )
    work, peak = textbook["work"], textbook["bfloat16_matmul_peak_flops"]
    console.print(
        f"Same work on both sides: {work['parameters']:,} parameters, {work['critic_steps']} "
        f"critic steps and {work['generator_steps']} generator step, "
        f"{work['flops'] / 1e9:,.1f} GFLOP. bfloat16 matmul peak {peak / 1e9:,.0f} GFLOP/s.",
        highlight=False,
    )
    console.print(_textbook_table(textbook))
    for objective, compared in results["plans"].items():
        console.print(_plans_table(objective, compared))


def _textbook_table(textbook: Mapping[str, Any]) -> Table:
    speedup = textbook["speedup"]
    table = Table(
        title=f"One WGAN iteration: graftgan is {speedup['median']:.2f} times as fast "
        f"(at least {speedup['min']:.2f})",
        box=box.SIMPLE,
    )
    table.add_column("side")
    for column in ("s/iteration", "real images/s", "of bf16 peak", "peak MiB", "imports MiB"):
        table.add_column(column, justify="right")
    for name, side in textbook["sides"].items():
        table.add_row(
            name,
            f"{side['median_seconds']:.3f}",
            f"{side['real_images_per_second']:.1f}",
            f"{side['share_of_peak']:.1%}",
            f"{side['memory_mib']['peak']:.0f}",
            f"{side['memory_mib']['imports']:.0f}",
        )
    return table


def _plans_table(objective: str, compared: Mapping[str, Any]) -> Table:
    verdict = "pays" if compared["freezing_pays"] else "does not pay"
    table = Table(title=f"Presets with {objective}: freezing {verdict}", box=box.SIMPLE)
    table.add_column("plan")
    for column in ("s/iteration", "times as fast", "at least", "trainable"):
        table.add_column(column, justify="right")
    for name, plan in compared["plans"].items():
        table.add_row(
            name,
            f"{plan['median_seconds']:.3f}",
            f"{plan['speedup']['median']:.2f}",
            f"{plan['speedup']['min']:.2f}",
            f"{plan['trainable_parameters']:,}",
        )
    return table


def parse_arguments(arguments: Sequence[str]) -> tuple[Settings, Path | None]:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every number here")
    parser.add_argument("--quick", action="store_true", help="two rounds, small matmul peak")
    parser.add_argument("--repeats", type=int, help="timed rounds (default 9, quick 2)")
    parser.add_argument("--resolution", type=int, default=64, help="pixels (default 64)")
    parser.add_argument("--width", type=int, default=64, help="channels (default 64)")
    parser.add_argument("--batch-size", type=int, default=64, help="pictures (default 64)")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="threads of torch"
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="number format of our side; auto takes bfloat16 where the machine computes in it",
    )
    chosen = parser.parse_args(arguments)
    settings = Settings(
        resolution=chosen.resolution,
        width=chosen.width,
        batch_size=chosen.batch_size,
        repeats=chosen.repeats or (2 if chosen.quick else 9),
        threads=chosen.threads,
        precision=chosen.precision,
        quick=chosen.quick,
    )
    return settings, chosen.json


def main() -> None:
    settings, path = parse_arguments(sys.argv[1:])
    results = measure(settings)
    show(results, Console())
    if path is not None:
        path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
