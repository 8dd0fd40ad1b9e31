"""Time and memory of StyleGANs: drawing, a generator's step, a discriminator's step with R1.

For each network and size the variants (float32 or bfloat16, eager or compiled) take turns in one
process, so that whatever else the machine does hits them alike; only ratios of one run mean
something. Peak memory is that of a fresh process for each, less what it holds before the networks.
The hot operators, StyleGAN2's modulated convolution and StyleGAN3's with its filtered nonlinearity,
are timed alone: what share of the measured peak of a matrix product do their multiplications reach?
On a CPU the filters are products with banded matrices, whose zeros are multiplied and count too.

python benchmarks/stylegan_step.py --json benchmarks/results/stylegan_step.json
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from graftgan.core.network_types import Architecture, StyleArchitecture
from graftgan.networks.backbone import BACKBONES, build_pair
from graftgan.networks.stylegan.operators import modulated
from graftgan.networks.stylegan.stylegan3 import FilteredConv2d, bands_of
from graftgan.training import Hardware, choose_hardware
from graftgan.training.objectives import R1
from memory import MIB, peak_mib

CHANNEL_BASE = 16384  # over the side: the width of the authors' smaller networks
LATENT_SIZE = 512
MATMUL_SIDES = (1024, 2048, 4096)
QUICK_MATMUL_SIDES = (512,)
Step = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How the same computation is run."""

    bfloat16: bool
    compiled: bool

    def __str__(self) -> str:
        """Return its name in tables."""
        return f"{'bfloat16' if self.bfloat16 else 'float32'}{' compiled' * self.compiled}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A network at a size."""

    backbone: str
    side: int
    batch_size: int
    channel_base: int
    device: str

    def __str__(self) -> str:
        """Return its name in tables."""
        return f"{self.backbone} {self.side} px"

    def architecture(self) -> Architecture:
        """Return the networks."""
        usual = BACKBONES[self.backbone].style
        assert usual is not None
        return Architecture(
            backbone=self.backbone,
            resolution=self.side,
            latent_size=LATENT_SIZE,
            width=self.channel_base // self.side,
            generator_normalisation="none",
            discriminator_normalisation="none",
            style=StyleArchitecture(mapping_layers=usual.mapping_layers),
        )


def steps_of(case: Case, variant: Variant) -> dict[str, Step]:
    """Return what is measured: each function does all of it once, gradients included."""
    hardware = Hardware(torch.device(case.device), variant.bfloat16)
    pair = build_pair(case.architecture())
    for _, network in pair.items():
        hardware.place(network)
    wrapped: Callable[[nn.Module], Any] = torch.compile if variant.compiled else lambda net: net
    generator, discriminator = wrapped(pair.generator), wrapped(pair.discriminator)
    rng = torch.Generator().manual_seed(0)
    latents = torch.randn(case.batch_size, LATENT_SIZE, generator=rng).to(hardware.device)
    shape = (case.batch_size, 3, case.side, case.side)
    real = torch.rand(shape, generator=rng).to(hardware.device).mul_(2).sub_(1)
    real = real.contiguous(memory_format=hardware.memory_format)
    penalty = R1(1.0, every=1)

    def draw() -> Tensor:
        with torch.no_grad(), hardware.autocast():
            return generator(latents)

    def step_generator() -> None:
        pair.discriminator.requires_grad_(False)
        with hardware.autocast():
            loss = F.softplus(-discriminator(generator(latents)).float()).mean()
        loss.backward()
        pair.discriminator.requires_grad_(True)
        pair.generator.zero_grad()

    fake = draw().detach()

    def step_discriminator(*, with_r1: bool) -> None:
        with hardware.autocast():
            loss = F.softplus(discriminator(fake).float()).mean()
            loss = loss + F.softplus(-discriminator(real).float()).mean()
            if with_r1:  # its gradient of a gradient is what compilers refuse
                loss = loss + penalty(pair.discriminator, real, fake, rng)
        loss.backward()
        pair.discriminator.zero_grad()

    return {
        "draw": draw,
        "generator's step": step_generator,
        "discriminator's step": partial(step_discriminator, with_r1=False),
        "discriminator's step with R1": partial(step_discriminator, with_r1=True),
    }


def wait_for(device: str) -> None:
    """Wait until everything asked of ``device`` is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds_in_turns(
    steps: Mapping[str, Step], device: str, *, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of each step by name; every round lets each do one."""
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            wait_for(device)
            begin = time.perf_counter()
            step()
            wait_for(device)
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def memory_of(case: Case, variant: Variant, name: str, threads: int) -> float:
    """Return the peak MiB of one step above what a fresh process holds before."""
    torch.set_num_threads(threads)
    on_gpu = case.device.startswith("cuda")
    before = 0.0 if on_gpu else peak_mib()
    step = steps_of(case, variant)[name]
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    step()
    return torch.cuda.max_memory_allocated() / MIB if on_gpu else peak_mib() - before


def in_fresh_process(case: Case, variant: Variant, name: str) -> float:
    """Return :func:`memory_of` from a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(memory_of, (case, variant, name, torch.get_num_threads()))


def measured(
    case: Case, variants: Sequence[Variant], *, rounds: int, with_memory: bool
) -> dict[str, Any]:
    """Return seconds, ratios to eager float32, and memory of one case, by step and variant."""
    steps = {str(variant): steps_of(case, variant) for variant in variants}
    first, *_ = steps
    found: dict[str, Any] = {}
    for name in steps[first]:
        seconds = seconds_in_turns(
            {variant: of[name] for variant, of in steps.items()}, case.device, rounds=rounds
        )
        found[name] = {
            str(variant): {
                "seconds": statistics.median(seconds[str(variant)]),
                "faster_than_first": statistics.median(
                    a / b for a, b in zip(seconds[first], seconds[str(variant)], strict=True)
                ),
                "memory_mib": (
                    in_fresh_process(case, variant, name)
                    if with_memory and not variant.compiled
                    else None
                ),
            }
            for variant in variants
        }
    return {**asdict(case), "steps": found}


def matmul_peak(sides: Sequence[int], device: str, dtype: torch.dtype) -> float:
    """Return the most floating-point operations per second of a square matrix product."""
    best = 0.0
    for side in sides:
        left, right = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(2))
        step = partial(torch.mm, left, right)
        times = seconds_in_turns({"mm": step}, device, rounds=4)["mm"]
        best = max(best, 2 * side**3 / min(times))
    return best


def hot_spots(case: Case, variant: Variant) -> dict[str, Step]:
    """Return the hot operator at the size of the pictures, forward and backward."""
    hardware = Hardware(torch.device(case.device), variant.bfloat16)
    architecture, batch = case.architecture(), case.batch_size
    network = build_pair(architecture).generator
    hardware.place(network)
    layer = network.layers().get("L13")
    if isinstance(layer, FilteredConv2d):
        assert architecture.style is not None
        before = bands_of(architecture, architecture.style)[12]
        given = _given(hardware, batch, before.channels, before.size, before.size)
        inputs = (given, _given(hardware, batch, architecture.style.style_size))
        return {"filtered convolution": partial(_there_and_back, hardware, layer, *inputs)}
    width, side = architecture.width, case.side
    inputs = (
        _given(hardware, batch, width, side, side),
        _given(hardware, width, width, 3, 3),
        _given(hardware, batch, width),
    )
    convolve = partial(modulated, padding=1)
    return {"modulated convolution": partial(_there_and_back, hardware, convolve, *inputs)}


def _given(hardware: Hardware, *shape: int) -> Tensor:
    filled = torch.ones(shape, device=hardware.device)
    if len(shape) == 4:
        filled = filled.contiguous(memory_format=hardware.memory_format)
    return filled.requires_grad_()


def _there_and_back(hardware: Hardware, operator: Callable[..., Tensor], *inputs: Tensor) -> None:
    with hardware.autocast():
        operator(*inputs).sum().backward()


def shares_of_peak(
    case: Case, variants: Sequence[Variant], peaks: Mapping[bool, float], *, rounds: int
) -> dict[str, Any]:
    """Return of each hot operator its operations per second over the measured peak."""
    found: dict[str, Any] = {}
    for variant in (v for v in variants if not v.compiled):
        for name, step in hot_spots(case, variant).items():
            with FlopCounterMode(display=False) as flops:
                step()
            seconds = seconds_in_turns({name: step}, case.device, rounds=rounds)[name]
            rate = flops.get_total_flops() / statistics.median(seconds)
            found.setdefault(name, {})[str(variant)] = {
                "seconds": statistics.median(seconds),
                "operations": flops.get_total_flops(),
                "share_of_peak": rate / peaks[variant.bfloat16],
            }
    return found


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Run one case after another; yield all numbers so far as plain data after each."""
    torch.set_num_threads(options.threads)
    variants = [
        Variant(bfloat16=bfloat16, compiled=compiled)
        for compiled in ((False, True) if options.compile else (False,))
        for bfloat16 in (False, True)
    ]
    sides = QUICK_MATMUL_SIDES if options.quick else MATMUL_SIDES
    peaks = {
        fast: matmul_peak(sides, options.device, torch.bfloat16 if fast else torch.float32)
        for fast in (False, True)
    }
    results: dict[str, Any] = {
        "machine": {
            "hardware": choose_hardware(options.device, "float32").describe(),
            "threads": options.threads,
            "torch": torch.__version__,
            "peak_float32": peaks[False],
            "peak_bfloat16": peaks[True],
        },
        "cases": [],
    }
    for backbone, side in product(options.backbones, options.sides):
        case = Case(
            backbone=backbone,
            side=side,
            batch_size=options.batch_size,
            channel_base=options.channel_base,
            device=options.device,
        )
        print(f"{case} ...", file=sys.stderr)
        with_memory = not options.no_memory
        one = measured(case, variants, rounds=options.rounds, with_memory=with_memory)
        one["hot_spots"] = shares_of_peak(case, variants, peaks, rounds=options.rounds)
        results["cases"].append(one)
        yield results


def show(results: Mapping[str, Any]) -> None:
    """Print a table of the cases, and one of the hot operators."""
    table = Table(title=f"{results['machine']['hardware']}, torch {results['machine']['torch']}")
    for heading in ("network", "step", "variant", "seconds", "times as fast", "MiB"):
        table.add_column(heading)
    spots = Table(title="share of the peak of a matrix product")
    for heading in ("network", "operator", "variant", "seconds", "share"):
        spots.add_column(heading)
    for case in results["cases"]:
        name = f"{case['backbone']} {case['side']} px x {case['batch_size']}"
        for step, variants in case["steps"].items():
            for variant, one in variants.items():
                memory = "" if one["memory_mib"] is None else f"{one['memory_mib']:.0f}"
                numbers = (f"{one['seconds']:.3f}", f"{one['faster_than_first']:.2f}", memory)
                table.add_row(name, step, variant, *numbers)
        for operator, variants in case["hot_spots"].items():
            for variant, one in variants.items():
                spots.add_row(
                    name, operator, variant, f"{one['seconds']:.4f}", f"{one['share_of_peak']:.1%}"
                )
    Console().print(table, spots)


def main() -> None:
    """Measure, show, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbones", nargs="+", default=["stylegan2", "stylegan3t"])
    parser.add_argument("--sides", nargs="+", type=int, default=[64, 128, 256])
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--channel-base", type=int, default=CHANNEL_BASE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="also compiled; takes minutes")
    parser.add_argument("--quick", action="store_true", help="tiny networks, to see that it runs")
    parser.add_argument("--no-memory", action="store_true", help="leave out the fresh processes")
    parser.add_argument("--json", type=Path, help="also write every number to this file")
    options = parser.parse_args()
    if options.quick:
        options.sides, options.rounds, options.channel_base = [32], 2, 256
    results: dict[str, Any] = {}
    for results in measure(options):  # a stop loses the case under way only
        if options.json is not None:
            options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    show(results)


if __name__ == "__main__":
    main()
