"""How fast and how large scoring is: beside torch-fidelity, and at 10,000 against 10,000 pictures.

1. The FID of generated pictures, by torch-fidelity and by graftgan in one run: the same pictures in
   memory, the same Inception network with one weight file (made here from a fixed seed), the same
   resize, the statistics of the reference already in each side's own cache. From pictures to the
   number; graftgan's includes the interval, which torch-fidelity does not compute.
2. The reference's cost, the first time and again.
3. Precision, recall, density and coverage of 10,000 against 10,000 pictures with 2,048 features, in
   a fresh process whose peak memory is measured.
4. The headline as people see pictures beside the same network shown every pixel: from pictures to
   the number with its interval, the reference kept.

    python benchmarks/scores.py --json benchmarks/results/scores.json
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from graftgan.metrics.extractors import build_extractor
from graftgan.metrics.extractors.extractor import Extractor
from graftgan.metrics.extractors.inception import Inception, inception_extractor
from graftgan.metrics.feature_cache import features_of
from graftgan.metrics.manifold import density_and_coverage, precision_and_recall
from graftgan.metrics.metric import Features
from graftgan.metrics.score import measure, protocol_of
from graftgan.metrics.settings import ExtractorSettings
from graftgan.models.sources import open_source
from graftgan.networks.sampling import generate, random_latents
from memory import peak_mib

sys.path.append(str(Path(__file__).parents[1] / "tests"))
import oracles  # makes torchvision importable, which torch-fidelity needs

TOLERANCE = 1e-3  # relative difference of the two answers
console = Console(highlight=False, soft_wrap=True)


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {}
    if options.only and options.json is not None and options.json.is_file():
        results = json.loads(options.json.read_text(encoding="utf-8"))
    parts = {"fid": _fid_part, "manifold": _manifold_part, "view": _view_part}
    for name in [options.only] if options.only else parts:
        measured = parts[name](options)
        results[name] = {"machine": _machine(options.threads), **measured}
    _show(results)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _fid_part(options: argparse.Namespace) -> dict[str, Any]:
    generator = open_source("avatars-64").pair.generator
    size = generator.architecture.latent_size
    generated, reference = (
        generate(generator, random_latents(count, size, seed=seed), truncation=truncation)
        for count, seed, truncation in ((options.count, 0, 0.8), (options.reference_count, 1, 1.0))
    )
    counts = {"count": options.count, "reference_count": options.reference_count}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRAFTGAN_CACHE"] = folder
        weights = _weight_file(Path(folder) / "inception.pth", reference[:16])
        return {**counts, **_compare(generated, reference, weights, Path(folder))}


def _manifold_part(options: argparse.Namespace) -> dict[str, Any]:
    count = options.manifold_count
    return {"count": count, **_in_fresh_process(_manifold, count)}


def _view_part(options: argparse.Namespace) -> dict[str, Any]:
    generator = open_source("avatars-64").pair.generator
    size = generator.architecture.latent_size
    generated, reference = (
        generate(generator, random_latents(options.count, size, seed=seed)) for seed in (0, 1)
    )
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRAFTGAN_CACHE"] = folder
        for view in ("pixels", "visible"):
            extractor = build_extractor(ExtractorSettings(extractor_view=view))
            real = features_of(reference, extractor, device="cpu")

            def score(extractor: Extractor = extractor, real: Features = real) -> float:
                found = extractor.extract(generated, device="cpu")
                return _score(found, real, extractor, "kid")

            seconds[view] = _timed(score)[0]
    return {
        "count": options.count,
        "seconds": seconds,
        "times_as_long": seconds["visible"] / seconds["pixels"],
    }


def _compare(generated: Tensor, reference: Tensor, weights: Path, folder: Path) -> dict[str, Any]:
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    extractor = inception_extractor(weights, expected_sha256=sha256, resize="torch_fidelity")

    def ours(pictures: Tensor) -> float:
        real = features_of(reference, extractor, device="cpu")
        return _score(extractor.extract(pictures, device="cpu"), real, extractor, "fid")

    def theirs(pictures: Tensor) -> float:
        with oracles.quiet():
            found = oracles.torch_fidelity().calculate_metrics(
                input1=oracles.Pictures(pictures),
                input2=oracles.Pictures(reference),
                fid=True,
                cuda=False,
                verbose=False,
                save_cpu_ram=True,  # no worker processes, which pictures in memory do not need
                feature_extractor_weights_path=str(weights),
                cache_root=str(folder),
                cache_input2_name="reference",
            )
        return float(found["frechet_inception_distance"])

    few = generated[:64]  # each side's first call also measures the reference, and keeps it
    seconds = {"ours_first": _timed(lambda: ours(few))[0], "again": _timed(lambda: ours(few))[0]}
    theirs(few)
    our_seconds, our_value = _timed(lambda: ours(generated))
    their_seconds, their_value = _timed(lambda: theirs(generated))
    difference = abs(our_value - their_value) / their_value
    if difference > TOLERANCE:
        raise SystemExit(f"they disagree: graftgan {our_value}, torch-fidelity {their_value}")
    return {
        "graftgan": {"seconds": our_seconds, "value": our_value},
        "torch_fidelity": {"seconds": their_seconds, "value": their_value},
        "times_as_fast": their_seconds / our_seconds,
        "relative_difference": difference,
        "seconds_for_64_pictures": {
            "reference_measured": seconds["ours_first"],
            "reference_kept": seconds["again"],
        },
    }


def _score(generated: Features, real: Features, extractor: Extractor, metric: str) -> float:
    protocol = protocol_of(
        extractor,
        generated,
        real,
        reference_name="reference",
        resolution=64,
        truncation=1.0,
        seed=0,
    )
    return measure(generated, real, protocol, metrics=[metric])[0].value


def _manifold(count: int) -> dict[str, float]:
    rng = torch.Generator().manual_seed(0)
    generated, real = (torch.randn(count, 2048, generator=rng) for _ in range(2))
    before = peak_mib()
    seconds, _ = _timed(lambda: precision_and_recall(generated, real))
    more, _ = _timed(lambda: density_and_coverage(generated, real))
    return {
        "precision_recall_seconds": seconds,
        "density_coverage_seconds": more,
        "peak_mib": peak_mib(),
        "peak_mib_with_the_features_alone": before,
    }


def _weight_file(path: Path, pictures: Tensor) -> Path:
    """Write seeded weights whose normalisations fit ``pictures``, so that features vary."""
    rng = torch.Generator().manual_seed(0)
    network = Inception().train()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=rng)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the statistics of the one batch below
    with torch.no_grad():
        network(nn.functional.interpolate(pictures.float(), size=(299, 299)) / 128 - 1)
    torch.save(network.state_dict(), path)
    return path


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    answer = work()
    return time.perf_counter() - begin, answer


def _in_fresh_process(work: Callable[[int], dict[str, float]], count: int) -> dict[str, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (count,))


def _machine(threads: int) -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_average": os.getloadavg()[0],
        "torch": torch.__version__,
    }


def _show(results: dict[str, Any]) -> None:
    if "view" in results:
        view = results["view"]
        console.print(
            f"the headline of {view['count']} pictures: {view['seconds']['visible']:.1f} s as "
            f"people see them, {view['seconds']['pixels']:.1f} s of every pixel: "
            f"{view['times_as_long']:.2f} times as long"
        )
    if "fid" in results:
        fid = results["fid"]
        kept = fid["seconds_for_64_pictures"]
        console.print(
            f"FID of {fid['count']} pictures: "
            f"torch-fidelity {fid['torch_fidelity']['seconds']:.1f} s, "
            f"graftgan {fid['graftgan']['seconds']:.1f} s: "
            f"{fid['times_as_fast']:.2f} times as fast, "
            f"answers {fid['relative_difference']:.1e} apart"
        )
        console.print(
            f"64 pictures against {fid['reference_count']}: "
            f"{kept['reference_measured']:.1f} s the first time, "
            f"{kept['reference_kept']:.1f} s with the reference kept"
        )
    if "manifold" in results:
        manifold = results["manifold"]
        console.print(
            f"{manifold['count']} against as many: "
            f"precision and recall {manifold['precision_recall_seconds']:.0f} s, "
            f"density and coverage {manifold['density_coverage_seconds']:.0f} s, "
            f"peak memory {manifold['peak_mib']:.0f} MiB, "
            f"{manifold['peak_mib_with_the_features_alone']:.0f} MiB of them before"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="generated pictures")
    parser.add_argument("--reference-count", type=int, default=1000, help="reference pictures")
    parser.add_argument("--manifold-count", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--only", choices=["fid", "manifold", "view"], help="this part; keep the others"
    )
    parser.add_argument("--json", type=Path, help="where to write every number")
    return parser.parse_args()


if __name__ == "__main__":
    main()
