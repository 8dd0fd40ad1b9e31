"""The running average of the generator against its closed form."""

import pytest
import torch

from graftgan.core.network_types import NetworkPair, tensors_of
from graftgan.training import GeneratorAverage
from graftgan.transfer import apply_plan, parse_plan
from tiny_networks import assert_same_tensors, latents, tiny_pair, tiny_run


def average_of(pair: NetworkPair, **changes: float) -> GeneratorAverage:
    settings = {"half_life_images": 100, "ramp_up": 0.05, **changes}
    return GeneratorAverage(pair.generator, **settings)


def test_after_a_half_life_the_old_counts_half(pair: NetworkPair):
    average = average_of(pair)
    for batch in (1, 10, 50):
        decay = average.decay(batch_size=batch, images_seen=10**9)
        assert decay ** (100 / batch) == pytest.approx(0.5)


def test_the_average_of_a_jump_has_a_closed_form(pair: NetworkPair):
    average = average_of(pair)
    start = {n: t.clone() for n, t in average.tensors().items()}
    with torch.no_grad():
        for parameter in pair.generator.parameters():
            parameter.add_(1.0)
    for _ in range(15):
        average.update(batch_size=20, images_seen=10**9)
    weights = dict(average.generator.named_parameters())
    assert len(weights) > 8
    for name, weight in weights.items():
        torch.testing.assert_close(weight, start[name] + 1 - 0.5**3, rtol=0, atol=1e-5)


def test_the_half_life_ramps_up_with_the_images_seen(pair: NetworkPair):
    average = average_of(pair, half_life_images=100, ramp_up=0.05)
    assert average.decay(batch_size=4, images_seen=400) == pytest.approx(0.5 ** (4 / 20))
    assert average.decay(batch_size=4, images_seen=2000) == pytest.approx(0.5 ** (4 / 100))
    assert average.decay(batch_size=4, images_seen=90_000) == pytest.approx(0.5 ** (4 / 100))
    assert average.decay(batch_size=4, images_seen=0) == 0.0
    rising = [average.decay(batch_size=4, images_seen=n) for n in range(0, 3000, 100)]
    assert rising == sorted(rising)


def test_running_statistics_are_averaged_and_counters_copied(pair: NetworkPair):
    average = average_of(pair)
    name = "blocks.layer1.norm."
    start = average.tensors()[name + "running_mean"].clone()
    live = tensors_of(pair.generator)
    live[name + "running_mean"].add_(2.0)
    live[name + "num_batches_tracked"].fill_(99)
    average.update(batch_size=100, images_seen=10**9)
    torch.testing.assert_close(average.tensors()[name + "running_mean"], start + 1.0)
    assert average.tensors()[name + "num_batches_tracked"] == 99


def test_settled_buffers_are_taken_over_as_they_are(pair: NetworkPair):
    name = "blocks.layer1.norm.running_mean"
    live = dict(pair.generator.named_buffers())[name]
    average = GeneratorAverage(pair.generator, half_life_images=100, ramp_up=1.0, settled=[live])
    other = average.tensors()["blocks.layer2.norm.running_mean"].clone()
    tensors_of(pair.generator)["blocks.layer2.norm.running_mean"].add_(2.0)
    live.add_(1 / 3)
    average.update(batch_size=100, images_seen=10**9)
    assert torch.equal(average.tensors()[name], live)
    torch.testing.assert_close(average.tensors()["blocks.layer2.norm.running_mean"], other + 1.0)


@pytest.mark.parametrize("statistics", ["source", "batch"])
def test_what_the_plan_froze_stays_bit_equal_in_the_average(statistics: str):
    run = tiny_run(plan="G(2,1,1) D(0,0,4)", statistics=statistics, iterations=5)
    average = run.training.average
    assert average is not None
    run.training.run()
    averaged, source = average.tensors(), tensors_of(run.source.generator)
    live = tensors_of(run.training.pair.generator)
    frozen = [n for n in averaged if ".layer3." in n or ".layer4." in n]
    assert len(frozen) >= 7
    assert_same_tensors({n: averaged[n] for n in frozen}, {n: source[n] for n in frozen})
    kernel = "blocks.layer2.conv.parametrizations.weight."
    assert torch.equal(averaged[kernel + "original"], source["blocks.layer2.conv.weight"])
    for moving in (kernel + "0.gamma", "blocks.layer1.conv.weight"):
        assert not torch.equal(averaged[moving], live[moving])


def test_the_average_has_tensors_of_its_own_and_trains_nothing(pair: NetworkPair):
    apply_plan(parse_plan("combined"), pair, fresh=lambda: tiny_pair(seed=2), statistics="source")
    average = average_of(pair)
    own = {t.data_ptr() for t in average.tensors().values()}
    assert own.isdisjoint(t.data_ptr() for t in tensors_of(pair.generator).values())
    assert not any(p.requires_grad for p in average.generator.parameters())
    assert any(p.requires_grad for p in pair.generator.parameters())
    assert torch.equal(average.generator(latents()), pair.generator(latents()))


def test_a_run_averages_with_the_images_its_generator_made():
    run = tiny_run(objective="wgan", plan="fine_tune", iterations=3, batch_size=4)
    average = run.training.average
    assert average is not None
    calls: list[tuple[int, int]] = []
    average.update = lambda *, batch_size, images_seen: calls.append((batch_size, images_seen))
    run.training.run()
    assert calls == [(4, 4), (4, 8), (4, 12)]
    assert run.training.images_seen == 3 * 5 * 4, "each critic step sees a batch of real pictures"


def test_without_a_half_life_there_is_no_average():
    assert tiny_run(half_life_images=0).training.average is None
