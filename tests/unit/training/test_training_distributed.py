"""Several real processes (gloo on the CPU) that train one model. Slow for a unit test: seconds."""

import multiprocessing
import os
import socket
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch import nn

from graftgan.checkpoints import load_tensors, save_tensors
from graftgan.core.network_types import tensors_of
from graftgan.core.randomness import Randomness
from graftgan.training import Processes, joined_processes
from tiny_networks import assert_same_tensors, everything_in, tiny_run

COUNT = 3  # a third is no binary fraction: means of three equal numbers can be off by a bit


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def worker(rank: int, port: int, out: str) -> None:
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(COUNT),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    with joined_processes("cpu") as processes:
        assert (processes.rank, processes.count) == (rank, COUNT)
        assert processes.leads == (rank == 0)
        results = {**primitives(processes), **train(processes), **probe(processes)}
        results |= adapt(processes)
        processes.wait()
    save_tensors(Path(out) / f"{rank}.safetensors", results)


def primitives(processes: Processes) -> dict[str, torch.Tensor]:
    rank = processes.rank
    convolution = nn.Parameter(torch.zeros(2, 3, 2, 2).to(memory_format=torch.channels_last))
    bias, idle = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.ones(2))
    pattern = torch.arange(24.0).view(2, 3, 2, 2)
    convolution.grad = torch.empty_like(convolution).copy_(pattern * (rank + 1))
    bias.grad = torch.full((2,), float(10**rank))
    processes.average_gradients([convolution, idle, bias])
    norm = nn.BatchNorm2d(50)
    norm.running_mean.copy_(torch.linspace(0, 1, 50))  # equal everywhere, as if frozen
    norm.running_var.fill_(rank)
    processes.average_buffers(norm)
    shared = nn.BatchNorm2d(2)
    with torch.no_grad():
        shared.weight.fill_(rank + 5.0)
        shared.num_batches_tracked.fill_(rank + 3)
    processes.share(shared)
    device = torch.device("cpu")
    votes = [processes.agree(rank == 1, device), processes.agree(False, device)]
    assert idle.grad is None
    return {
        "convolution": convolution.grad,
        "bias": bias.grad,
        "running_mean": norm.running_mean,
        "running_var": norm.running_var,
        "shared": shared.weight.detach(),
        "shared_counter": shared.num_batches_tracked,
        "votes": torch.tensor(votes),
    }


def train(processes: Processes) -> dict[str, torch.Tensor]:
    run = tiny_run(
        plan="combined",
        augment="diffaugment_color_translation",
        batch_size=2 * COUNT,
        iterations=2,
        regularizers={
            "l2_sp_discriminator": 0.1,
            "l2_sp_generator": 0.1,
            "feature_distillation": 1.0,
            "ewc": 1.0,
            "ewc_samples": 2,
        },
        processes=processes,
    )
    real: list[torch.Tensor] = []
    critic = run.training.pair.discriminator
    critic.register_forward_hook(lambda _, given, __: real.append(given[0].detach().clone()))
    run.training.run()
    assert run.training.images_seen == 2 * 2 * COUNT
    found = {f"trained.{n}": t for n, t in everything_in(run.training.pair).items()}
    assert run.training.average is not None
    found |= {f"trained.average.{n}": t for n, t in run.training.average.tensors().items()}
    found |= {f"source.{n}": t for n, t in everything_in(run.source).items()}
    return {**found, "first real batch": real[0], "first generated batch": real[1]}


def probe(processes: Processes) -> dict[str, torch.Tensor]:
    run = tiny_run(
        plan="D[layer3=by_importance, *=freeze] G[layer2=by_importance, *=freeze]",
        batch_size=2 * COUNT,
        iterations=1,
        transfer={"probe_iterations": 2},
        processes=processes,
    )
    run.training.run()
    return {f"probed.{n}": t for n, t in everything_in(run.training.pair).items()}


def adapt(processes: Processes) -> dict[str, torch.Tensor]:
    """Let the first process see an overfitting discriminator, and the others none."""
    run = tiny_run(
        plan="fine_tune",
        augment="ada",
        augmentation={"probability": 0.5, "adaptive_target": -0.5, "adaptive_images": 80 * COUNT},
        batch_size=2 * COUNT,
        processes=processes,
    )
    controller = run.training.extra_modules["augmentation"]
    for _ in range(4):
        controller.observe(torch.tensor([1.0 if processes.leads else -1.0]))
        run.training.updates[0].after()
    return {"probability": controller.probability}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, torch.Tensor]]:
    if not torch.distributed.is_available() or sys.platform == "win32":
        pytest.skip("this torch cannot join processes")
    out, begin = tmp_path_factory.mktemp("processes"), time.monotonic()
    # One server imports torch once and forks the workers: three times as fast as to spawn them.
    multiprocessing.set_forkserver_preload(["torch", "graftgan.runs.build"])
    arguments = (free_port(), str(out))
    mp.start_processes(worker, args=arguments, nprocs=COUNT, start_method="forkserver")
    assert time.monotonic() - begin < 120
    return [load_tensors(out / f"{rank}.safetensors") for rank in range(COUNT)]


def test_gradients_are_means_whatever_their_layout(results):
    for found in results:
        pattern = torch.arange(24.0).view(2, 3, 2, 2)
        assert torch.equal(found["convolution"], pattern * 2)
        torch.testing.assert_close(found["bias"], torch.full((2,), 37.0))


def test_moving_statistics_are_means_and_equal_ones_do_not_move_by_a_bit(results):
    for found in results:
        assert (found["running_var"] == 1).all()
        assert torch.equal(found["running_mean"], torch.linspace(0, 1, 50))


def test_sharing_gives_everyone_what_the_first_has(results):
    for found in results:
        assert found["shared"].tolist() == [5.0, 5.0]
        assert found["shared_counter"] == 3


def test_one_vote_is_enough(results):
    assert [found["votes"].tolist() for found in results] == [[True, False]] * COUNT


def test_processes_see_different_pictures_and_end_with_equal_weights(results):
    trained = [{n: t for n, t in r.items() if n.startswith("trained.")} for r in results]
    assert len(trained[0]) > 50
    for other in trained[1:]:
        assert_same_tensors(trained[0], other)
    for batch in ("first real batch", "first generated batch"):
        assert not torch.equal(results[0][batch], results[1][batch])
        assert not torch.equal(results[1][batch], results[2][batch])


def test_one_probability_follows_the_scores_of_all_processes(results):
    """The mean sign is -1/3, above the target, which alone only the first process was."""
    for found in results:
        assert found["probability"].item() == pytest.approx(0.6)
        assert torch.equal(found["probability"], results[0]["probability"])


def test_processes_find_the_same_filters_and_end_with_equal_weights(results):
    probed = [{n: t for n, t in r.items() if n.startswith("probed.")} for r in results]
    assert [n for n in probed[0] if n.endswith(".modulated")]
    for other in probed[1:]:
        assert_same_tensors(probed[0], other)


def test_frozen_layers_are_the_sources_bit_for_bit(results):
    found = results[1]
    frozen = [
        n.removeprefix("source.")
        for n in found
        if n.startswith(("source.generator.blocks.layer4.", "source.discriminator.blocks.layer1."))
        or (n.startswith("source.generator.blocks.layer3.norm."))
    ]
    assert len(frozen) == 2 + 2 + 5
    for name in frozen:
        assert torch.equal(found[f"trained.{name}"], found[f"source.{name}"]), name
    tuned = "generator.blocks.layer1.conv.weight"
    assert not torch.equal(found[f"trained.{tuned}"], found[f"source.{tuned}"])


def test_alone_nothing_is_averaged_or_asked(pair):
    processes = Processes()
    before = {n: t.clone() for n, t in tensors_of(pair.generator).items()}
    processes.average_buffers(pair.generator)
    processes.share(pair.generator)
    processes.wait()
    assert_same_tensors(before, tensors_of(pair.generator))
    assert processes.agree(True, torch.device("cpu"))
    assert not processes.agree(False, torch.device("cpu"))
    with joined_processes("cpu") as joined:
        assert joined == Processes()
    assert Randomness(0, 0) != Randomness(0, 1)
