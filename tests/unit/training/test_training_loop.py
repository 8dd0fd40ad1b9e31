"""The loop: turns in order, streams by turn, real pictures by the sampler."""

from dataclasses import replace

import pytest
import torch

from graftgan.core.errors import SettingsError
from graftgan.training import Hardware, Processes, StepContext, choose_hardware
from tiny_networks import tiny_pictures, tiny_run


class Recording:
    def __init__(self) -> None:
        self.events: list[object] = []
        self.terms: list[dict[str, float]] = []

    def started(self, training):
        self.events.append("started")

    def iterated(self, training, terms):
        self.events.append(training.iteration)
        self.terms.append({name: float(term) for name, term in terms.items()})

    def ended(self, training):
        self.events.append("ended")


def test_turns_come_in_order_with_numbers_that_count_every_critic_step():
    run = tiny_run(objective="wgan", iterations=2)
    contexts: list[StepContext] = []

    def spied(update):
        def losses(context: StepContext):
            contexts.append(context)
            return update.losses(context)

        return replace(update, losses=losses)

    run.training.updates = [spied(u) for u in run.training.updates]
    callback = Recording()
    run.training.callbacks = [callback]
    run.training.run()
    one = ["discriminator"] * 5 + ["generator"]
    assert [m.update for m in contexts] == one + one
    assert [m.turn for m in contexts if m.update == "discriminator"] == list(range(10))
    assert [m.turn for m in contexts if m.update == "generator"] == [0, 1]
    assert [m.progress for m in contexts] == [0.0] * 6 + [0.5] * 6
    assert callback.events == ["started", 1, 2, "ended"]
    assert set(callback.terms[0]) == {
        "discriminator.loss",
        "discriminator.real",
        "discriminator.fake",
        "generator.loss",
    }


def test_reported_scores_explain_the_loss():
    run = tiny_run(objective="wgan_gp", iterations=2)
    callback = Recording()
    run.training.callbacks = [callback]
    run.training.run()
    for terms in callback.terms:
        difference = terms["discriminator.fake"] - terms["discriminator.real"]
        assert terms["discriminator.loss"] == pytest.approx(difference, abs=1e-5)
        assert terms["discriminator.gradient_penalty"] >= 0


def test_the_discriminator_sees_the_pictures_and_the_generators_images():
    run = tiny_run(iterations=3)
    seen: list[torch.Tensor] = []
    critic = run.training.pair.discriminator
    critic.register_forward_hook(lambda _, given, __: seen.append(given[0].detach().clone()))
    run.training.run()
    assert len(seen) == 3 * 3  # real, fake, and fake again in the generator's turn
    pool = {tuple(p.flatten().tolist()) for p in tiny_pictures()}
    shown = []
    for batch in seen[0::3]:
        back = ((batch + 1) * 127.5).round().to(torch.uint8)
        rows = [tuple(picture.flatten().tolist()) for picture in back]
        assert all(row in pool for row in rows)
        shown += rows
    assert len(set(shown)) == 12, "three batches of four show every one of twelve pictures once"
    assert not torch.equal(seen[1], seen[2]), "both turns draw latents of their own"


def test_a_stop_is_honoured_after_the_iteration():
    run = tiny_run(iterations=5)

    class Stop(Recording):
        def iterated(self, training, terms):
            super().iterated(training, terms)
            training.stop_requested = training.iteration == 2

    callback = Stop()
    run.training.callbacks = [callback]
    run.training.run()
    assert callback.events == ["started", 1, 2, "ended"]


def test_a_finished_run_does_nothing():
    run = tiny_run(iterations=2)
    run.training.iteration = 2
    callback = Recording()
    run.training.callbacks = [callback]
    run.training.run()
    assert callback.events == ["started", "ended"]


def test_a_batch_must_divide_by_the_processes():
    with pytest.raises(SettingsError, match="cannot be shared by 3 processes"):
        tiny_run(processes=Processes(rank=0, count=3), batch_size=4)


def test_hardware_is_what_was_asked_for_or_an_explanation(monkeypatch: pytest.MonkeyPatch):
    assert choose_hardware("cpu", "float32") == Hardware(torch.device("cpu"), bfloat16=False)
    assert choose_hardware("cpu", "bfloat16").bfloat16
    for wrong in ("gpu", "meta", "cuda:x", "xpu"):
        with pytest.raises(SettingsError, match="choose auto, cpu, cuda"):
            choose_hardware(wrong)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SettingsError, match="has no CUDA"):
        choose_hardware("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_hardware("cuda", "float32", rank=3).device == torch.device("cuda:1")
    assert choose_hardware("cuda:0", "float32", rank=3).device == torch.device("cuda:0")
    with pytest.raises(SettingsError, match="there is no cuda:2"):
        choose_hardware("cuda:2", "float32")


def test_a_run_in_bfloat16_computes_in_it_and_keeps_float32_weights():
    hardware = Hardware(torch.device("cpu"), bfloat16=True)
    run = tiny_run(plan="combined", iterations=2, hardware=hardware)
    types: set[torch.dtype] = set()
    convolution = run.training.pair.generator.layers()["layer2"].conv
    convolution.register_forward_hook(lambda _, __, output: types.add(output.dtype))
    callback = Recording()
    run.training.callbacks = [callback]
    run.training.run()
    assert types == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in run.training.trainable)
    assert len(callback.terms) == 2
