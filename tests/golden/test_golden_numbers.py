"""Every number against outside implementations, on the same features."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

import oracles
from graftgan.metrics.inception_scores import (
    frechet_distance,
    frechet_statistics,
    inception_score,
    kernel_distance,
)
from graftgan.metrics.manifold import density_and_coverage, precision_and_recall
from graftgan.metrics.metric import Features

SIZES = [(300, 300, 24), (260, 140, 24), (60, 90, 64)]


def structured(count: int, dimension: int, seed: int, collapse: float = 0.0) -> Tensor:
    """Rows like those of a network: clusters, unequal spreads, not below 0, far from the origin."""
    rng = torch.Generator().manual_seed(seed)
    fixed = torch.Generator().manual_seed(0)
    centres = torch.randn(5, dimension, generator=fixed)
    kinds = torch.randint(5 if not collapse else 1, (count,), generator=rng)
    noise = torch.randn(count, dimension, generator=rng) * torch.linspace(1.2, 0.2, dimension)
    return (centres[kinds] + (1 - collapse) * noise).clamp(min=-0.5) + 0.6


def pair(sizes: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """A worse generated set and a real one."""
    generated = 0.8 * structured(sizes[0], sizes[2], seed=1) + 0.1
    return generated, structured(sizes[1], sizes[2], seed=2)


def fid(generated: Tensor, real: Tensor) -> float:
    sides = (Features(values=rows, logits=None, sha256="") for rows in (generated, real))
    return frechet_distance(*(frechet_statistics(side) for side in sides))


def moments(rows: Tensor) -> tuple[np.ndarray, np.ndarray]:
    array = rows.double().numpy()
    return array.mean(axis=0), np.cov(array, rowvar=False)


def means(*pictures: Tensor) -> list[float]:
    return [float(rows.double().mean()) for rows in pictures]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_fid_equals_torch_fidelity(sizes: tuple[int, int, int]):
    oracle = oracles.torch_fidelity().metric_fid
    statistics = [oracle.fid_features_to_statistics(rows.double()) for rows in pair(sizes)]
    expected = oracle.fid_statistics_to_metric(*statistics, verbose=False)
    found = fid(*pair(sizes))
    assert found == pytest.approx(expected[oracle.KEY_METRIC_FID], rel=1e-5)
    assert found > 0.5


@pytest.mark.parametrize("sizes", SIZES[:2], ids=str)
@pytest.mark.parametrize("name", ["pytorch_fid", "clean_fid"])
def test_fid_equals_the_matrix_roots(name: str, sizes: tuple[int, int, int]):
    distance = {
        "pytorch_fid": lambda: oracles.pytorch_fid().fid_score.calculate_frechet_distance,
        "clean_fid": lambda: oracles.clean_fid().fid.frechet_distance,
    }[name]()
    generated, real = pair(sizes)
    with oracles.quiet():
        expected = distance(*moments(generated), *moments(real))
    assert fid(generated, real) == pytest.approx(expected, rel=1e-6)


def test_fid_of_few_pictures_in_many_dimensions_equals_torch_fidelity():
    """Most of the singular values are 0 here; the oracle's are noise, ours are not there."""
    oracle = oracles.torch_fidelity().metric_fid
    sides = structured(50, 256, seed=1), structured(40, 256, seed=2)
    statistics = [oracle.fid_features_to_statistics(rows.double()) for rows in sides]
    expected = oracle.fid_statistics_to_metric(*statistics, verbose=False)
    assert fid(*sides) == pytest.approx(expected[oracle.KEY_METRIC_FID], rel=1e-4)


@pytest.mark.parametrize("count", [50, 200])
def test_kid_equals_torch_fidelity(count: int):
    """A subset of all pictures is all pictures: the oracle's own estimate, undiluted."""
    oracle = oracles.torch_fidelity().metric_kid
    generated, real = (rows.double() for rows in pair((count, count, 32)))
    expected = oracle.kid_features_to_metric(
        generated, real, kid_subsets=1, kid_subset_size=count, rng_seed=0, verbose=False
    )
    found = kernel_distance(generated, real)
    assert found == pytest.approx(expected[oracle.KEY_METRIC_KID_MEAN], rel=1e-9)
    assert found > 0.01


def test_kid_equals_clean_fid():
    generated, real = (rows.double() for rows in pair((120, 120, 32)))
    expected = oracles.clean_fid().fid.kernel_distance(
        real.numpy(), generated.numpy(), num_subsets=1, max_subset_size=120
    )
    assert kernel_distance(generated, real) == pytest.approx(expected, rel=1e-9)


def test_kid_of_unequal_sets_equals_the_mean_over_many_subsets_of_clean_fid():
    generated, real = (rows.double() for rows in pair((100, 120, 16)))
    np.random.seed(0)  # the oracle draws from the global generator
    expected = oracles.clean_fid().fid.kernel_distance(
        real.numpy(), generated.numpy(), num_subsets=2000
    )
    assert kernel_distance(generated, real) == pytest.approx(expected, rel=0.01)


def test_inception_score_equals_torch_fidelity():
    oracle = oracles.torch_fidelity().metric_isc
    logits = 3 * structured(250, 40, seed=1)
    expected = oracle.isc_features_to_metric(logits, splits=1)
    found = inception_score(logits)
    assert found == pytest.approx(expected[oracle.KEY_METRIC_ISC_MEAN], rel=1e-9)
    assert 2 < found < 40


def collapsed() -> SimpleNamespace:
    """A generator of one cluster, so that precision and recall are far apart."""
    generated = structured(150, 16, seed=1, collapse=0.5)
    return SimpleNamespace(generated=generated, real=structured(250, 16, seed=2))


@pytest.mark.parametrize("neighbours", [3, 5])
def test_precision_and_recall_equal_torch_fidelity(neighbours: int):
    oracle = oracles.torch_fidelity().metric_prc
    sets = collapsed()
    expected = oracle.prc_features_to_metric(
        sets.generated.double(),
        sets.real.double(),
        prc_neighborhood=neighbours,
        prc_batch_size=10000,
        save_cpu_ram=False,
        verbose=False,
    )
    precision, recall = means(
        *precision_and_recall(sets.generated, sets.real, neighbours=neighbours)
    )
    assert precision == pytest.approx(expected[oracle.KEY_METRIC_PRECISION], rel=1e-6)
    assert recall == pytest.approx(expected[oracle.KEY_METRIC_RECALL], rel=1e-6)
    assert precision > 0.9 > 0.2 > recall > 0


@pytest.mark.parametrize("neighbours", [3, 5])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_all_four_equal_prdc(sizes: tuple[int, int, int], neighbours: int):
    generated, real = pair(sizes)
    expected = oracles.prdc().compute_prdc(
        real_features=real.numpy(), fake_features=generated.numpy(), nearest_k=neighbours
    )
    scores = means(
        *precision_and_recall(generated, real, neighbours=neighbours),
        *density_and_coverage(generated, real, neighbours=neighbours),
    )
    found = dict(zip(("precision", "recall", "density", "coverage"), scores, strict=True))
    assert found == pytest.approx(expected, rel=1e-6)
    assert found["precision"] != found["recall"]
    assert found["density"] != found["coverage"]


def test_all_four_equal_prdc_for_a_collapsed_generator():
    sets = collapsed()
    expected = oracles.prdc().compute_prdc(
        real_features=sets.real.numpy(), fake_features=sets.generated.numpy(), nearest_k=5
    )
    precision, recall, density, coverage = means(
        *precision_and_recall(sets.generated, sets.real, neighbours=5),
        *density_and_coverage(sets.generated, sets.real, neighbours=5),
    )
    found = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
    assert found == pytest.approx(expected, rel=1e-6)
    assert coverage < 0.5 < precision
