"""Signals: an orderly stop, answered at once; what can wait is abandoned."""

import io
import os
import signal
import threading
import time
import zipfile
from collections.abc import Iterator

import pytest
import torch

from graftgan.training import StopOnSignal, Training, callbacks, state_of
from graftgan.training.callbacks import STOPPING
from tiny_networks import tiny_run


@pytest.fixture(autouse=True)
def _no_nohup() -> Iterator[None]:
    """Hear SIGHUP also where whoever runs the tests ignores it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Kill:
    """Sends signals in the second iteration."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def started(self, training): ...
    def ended(self, training): ...

    def iterated(self, training, terms):
        if training.iteration == 2:
            for number in self.numbers:
                os.kill(os.getpid(), number)


def signalled(training: Training, *numbers: int, answers: list[str] | None = None) -> StopOnSignal:
    heard = [] if answers is None else answers
    stop = StopOnSignal(heard.append)
    training.callbacks = [stop, Kill(*numbers)]
    try:
        training.run()
    finally:
        stop.close()
    return stop


def test_all_that_a_terminal_and_a_cluster_send_are_heard():
    names = {signal.Signals(number).name for number in STOPPING}
    assert names == {"SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"}


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_stops_after_the_iteration_and_is_answered(number: int):
    before = signal.getsignal(number)
    answers: list[str] = []
    training = tiny_run(iterations=6).training
    stop = signalled(training, number, answers=answers)
    assert training.iteration == 2
    assert stop.stopped_by == signal.Signals(number).name
    assert answers == [stop.stopped_by]
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_does_not_wait():
    before = signal.getsignal(signal.SIGINT)
    training = tiny_run(iterations=6).training
    with pytest.raises(KeyboardInterrupt):
        signalled(training, signal.SIGINT, signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_closed_terminal_may_send_several():
    training = tiny_run(iterations=6).training
    answers: list[str] = []
    signalled(training, signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, answers=answers)
    assert training.iteration == 2
    assert answers == ["SIGHUP"]


def test_nohup_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        training = tiny_run(iterations=4).training
        stop = signalled(training, signal.SIGHUP)
        assert (training.iteration, stop.stopped_by) == (4, None)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_work_that_can_be_done_later_is_abandoned():
    training = tiny_run(iterations=6).training
    stop = StopOnSignal()
    finished: list[int] = []

    class Works:
        def started(self, training): ...
        def ended(self, training): ...

        def iterated(self, training, terms):
            def work() -> int:
                if training.iteration == 2:
                    os.kill(os.getpid(), signal.SIGUSR1)
                    time.sleep(30)
                return training.iteration

            result = stop.attempt(work)
            if result is not None:
                finished.append(result)

    training.callbacks = [stop, Works()]
    begin = time.monotonic()
    try:
        training.run()
        assert stop.attempt(lambda: 1) is None, "no work is begun after a signal"
    finally:
        stop.close()
    assert time.monotonic() - begin < 20
    assert finished == [1]
    assert training.iteration == 2


def test_an_error_in_the_work_is_not_hidden():
    stop = StopOnSignal()
    with pytest.raises(ZeroDivisionError):
        stop.attempt(lambda: 1 // 0)


def test_a_run_in_a_thread_trains_without_signals():
    training = tiny_run(iterations=2).training
    training.callbacks = [StopOnSignal()]
    problems: list[BaseException] = []

    def work() -> None:
        try:
            training.run()
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not problems
    assert training.iteration == 2


@pytest.mark.parametrize("at", [0, 2])  # before the first one optimizers hold nothing
@pytest.mark.parametrize("forwards", range(1, 6))
def test_a_slow_iteration_is_undone_wherever_the_signal_meets_it(
    forwards: int, at: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(callbacks, "SLOW_S", 0.0)  # every iteration counts as slow
    settings = {"iterations": 4, "augment": "ada"}
    unbroken = tiny_run(**settings).training
    unbroken.run()
    training = tiny_run(**settings).training
    seen: list[int] = []

    def send(*of_a_hook: object) -> None:
        if training.iteration == at:
            seen.append(at)
            if len(seen) == forwards:
                os.kill(os.getpid(), signal.SIGTERM)

    hooks = [network.register_forward_pre_hook(send) for _, network in training.pair.items()]
    stop = StopOnSignal()
    training.callbacks = [stop]
    try:
        training.run()
    finally:
        stop.close()
    assert (training.iteration, stop.stopped_by) == (at, "SIGTERM")
    assert len(seen) == forwards, "the iteration was not cut short"

    for hook in hooks:
        hook.remove()
    training.stop_requested = False
    training.attempt = lambda iterate: iterate()
    training.callbacks = []
    training.run()
    for ours, theirs in zip(
        state_of(training)[0].items(), state_of(unbroken)[0].items(), strict=True
    ):
        assert ours[0] == theirs[0]
        assert ours[1].keys() == theirs[1].keys()
        for key, tensor in ours[1].items():
            assert torch.equal(tensor, theirs[1][key]), (ours[0], key)


def test_a_fast_iteration_is_not_copied(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(callbacks, "SLOW_S", 600.0)  # also beside other work
    copies: list[int] = []
    copied = callbacks.copied_state_of
    monkeypatch.setattr(
        callbacks,
        "copied_state_of",
        lambda training: copies.append(training.iteration) or copied(training),
    )
    training = tiny_run(iterations=4).training
    stop = StopOnSignal()
    training.callbacks = [stop]
    try:
        training.run()
    finally:
        stop.close()
    assert copies == [0], "how long an iteration takes is known after the first"


def test_what_a_library_makes_of_a_signal_is_no_failure():
    """Closing a zip into which something is being written raises an error of its own."""
    training = tiny_run(iterations=2).training
    stop = StopOnSignal()
    stop.started(training)

    def work() -> None:
        with zipfile.ZipFile(io.BytesIO(), "w") as archive, archive.open("x", "w") as member:
            member.write(b"half")
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(20)
            finally:
                raise ValueError("there is an open writing handle on it")

    try:
        assert stop.attempt(work) is None
        assert stop.stopped_by == "SIGTERM"
    finally:
        stop.close()


def test_an_error_that_comes_with_a_signal_stays_an_error():
    stop = StopOnSignal()

    def work() -> None:
        stop.stopped_by = "SIGTERM"
        raise ValueError("of another cause")

    with pytest.raises(ValueError, match="of another cause"):
        stop.attempt(work)
