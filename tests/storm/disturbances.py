"""What happens to a command: kills, signals, damage, a second process, a full disk."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from storm.children import Child
from storm.contents import names_of
from storm.events import Trap
from storm.scenarios import Scenario, progress_line
from storm.stage import PATIENCE_S, FaultError, Stage, checkpoints_of, has_begun, state_of

_POLL_S = 0.004
_AT_ONCE_S = 5.0  # from a signal to a word and a checkpoint, or from a second one to the end
Strike = Callable[[Stage], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """One way to disturb a command.

    Attributes:
        name: For the table.
        strike: Starts the command and disturbs it; it is over or ended then.
        weight: So often it comes while others come once.
        fits: The scenarios it makes sense for.
        looks: Whether the folder must be readable afterwards.
    """

    name: str
    strike: Strike
    weight: int
    fits: Callable[[Scenario], bool]
    looks: bool = True


def _kill(stage: Stage) -> None:
    """Kill -9 at a random moment, up to three times in a row."""
    for _ in range(stage.rng.choice((1, 1, 2, 3))):
        child = stage.start()
        _sleep_into(stage, child)
        alone = stage.scenario.program == "fork" and stage.rng.random() < 0.5
        stage.kills += child.send(signal.SIGKILL) if alone else _end_all(child)
        if stage.wait(child) == 0:
            return


def _kill_at_event(stage: Stage) -> None:
    """Kill -9 just before a random file event, up to three times in a row."""
    for _ in range(stage.rng.choice((1, 1, 2, 3))):
        if _run_into(stage, Trap("kill", stage.rng.randint(1, sum(stage.twin.events.values())))):
            return


def _kill_at_file(stage: Stage) -> None:
    """Kill -9 just before an event of a file that is drawn by name, so that rare files count."""
    name = stage.rng.choice(sorted(stage.twin.events))
    _run_into(stage, Trap("kill", stage.rng.randint(1, stage.twin.events[name]), name))


def _kill_at_checkpoint(stage: Stage) -> None:
    """Kill -9 while a later checkpoint than the first is written, or an old one is removed."""
    most = stage.twin.events["#"]  # the folders of checkpoints have numbers for names
    _run_into(stage, Trap("kill", stage.rng.randint(most // 2, most), "#"))


def _kill_at_adapter(stage: Stage) -> None:
    """Kill -9 just before the adapter is written, at the very end of a run."""
    _run_into(stage, Trap("kill", 1, "adapter.safetensors"))


def _run_into(stage: Stage, trap: Trap) -> bool:
    """Run a command with a trap; return whether it is done."""
    code = stage.wait(stage.start(trap=trap))
    stage.kills += code == -signal.SIGKILL
    return code == 0


def _damage(stage: Stage) -> None:
    """Kill it once it has checkpoints, then damage the newest one."""
    for wanted in (stage.rng.randint(1, 4), 2, 1, 1):
        child = stage.start()
        while child.poll() is None and len(_open_checkpoints(stage)) < wanted:
            time.sleep(_POLL_S)
        time.sleep(stage.rng.random() * 0.05)
        stage.kills += _end_all(child)
        newest = _open_checkpoints(stage)
        if newest or stage.wait(child) == 0:
            break
    if newest:
        _spoil(stage, newest[-1])


def _open_checkpoints(stage: Stage) -> list[Path]:
    """Return the checkpoints of the run that is under way."""
    runs = [run for run in stage.scenario.runs(stage.root) if state_of(run) == "running"]
    return [checkpoint for run in runs[:1] for checkpoint in checkpoints_of(run)] or [
        checkpoint for run in runs[1:] for checkpoint in checkpoints_of(run)
    ]


def _spoil(stage: Stage, checkpoint: Path) -> None:
    """Damage one file of a checkpoint, and note how."""
    rng = stage.rng
    path = rng.choice(sorted(path for path in checkpoint.iterdir() if path.is_file()))
    data = bytearray(path.read_bytes())
    how = rng.choice(("flip", "cut", "zero", "delete"))
    if how == "flip":
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == "cut":
        del data[rng.randrange(len(data)) :]
    elif how == "zero":
        count = min(1000, len(data))
        data[-count:] = bytes(count)
    (stage.folder / "damage.txt").write_text(f"{how} {path.relative_to(stage.root)}\n")
    if how == "delete":
        path.unlink()
    else:
        path.write_bytes(data)


def _signal(number: signal.Signals, stage: Stage) -> None:
    """Send a signal at a random moment, and watch how it is answered."""
    child = stage.start()
    _sleep_into(stage, child)
    runs = stage.scenario.runs(stage.root)
    begun = {run for run in runs if has_begun(run)}
    training = [run for run in runs if run in begun and state_of(run) == "running"]
    known = {path for run in runs for path in checkpoints_of(run)}
    shown = len(child.said())
    if not child.send(number):
        return
    stage.kills += 1
    _time_answers(stage, child, shown, known)
    code = stage.wait(child)
    if training and stage.scenario.is_run:
        _judge_end(stage, child, number, training[-1])
        return
    if code not in {0, 130, 128 + number, -number}:
        stage.faults.append(f"exit code {code} after {number.name}")
    further = {run for run in stage.scenario.runs(stage.root) if has_begun(run)} - begun
    if begun and further and not stage.scenario.is_run:
        stage.faults.append(f"{number.name} was not heeded: {len(further)} more runs were begun")


def _time_answers(stage: Stage, child: Child, shown: int, known: set[Path]) -> None:
    """Measure when the first word and the first new checkpoint appear."""
    begin = time.monotonic()
    while child.poll() is None and time.monotonic() - begin < 60:
        passed = time.monotonic() - begin
        if stage.first_word is None and _speaks(child.said()[shown:]):
            stage.first_word = passed
        if stage.to_checkpoint is None and stage.scenario.is_run:
            found = {p for r in stage.scenario.runs(stage.root) for p in checkpoints_of(r)}
            stage.to_checkpoint = passed if found - known else None
        time.sleep(_POLL_S)


def _speaks(said: str) -> bool:
    return any(line.strip() and not progress_line(line) for line in said.splitlines())


def _judge_end(stage: Stage, child: Child, number: signal.Signals, run: Path) -> None:
    """Note what is wrong with how a run ended that was told to stop while it trained."""
    code, said = child.code, child.said()
    if code == 0:
        return  # the signal came after the last iteration
    if code == -number:
        stage.faults.append(f"{number.name} ended it at once, with nothing saved")
        return
    if code not in {130, 128 + number}:
        stage.faults.append(f"exit code {code} after {number.name}")
    if "--resume" not in said:
        stage.faults.append(f"after {number.name} it does not say how to resume")
    for name, seconds in (("word", stage.first_word), ("checkpoint", stage.to_checkpoint)):
        if seconds is not None and seconds > _AT_ONCE_S:
            stage.faults.append(f"{seconds:.1f} s from {number.name} to the first {name}")
    missing = [name for name in _owed(stage, run) if not (run / name).exists()]
    if missing:
        stage.faults.append(f"after {number.name} there is no {names_of(missing)}")
    if state_of(run) != "interrupted":
        stage.faults.append(f"after {number.name} the card says {state_of(run)!r}")


def _owed(stage: Stage, run: Path) -> list[str]:
    adapter = ["adapter.safetensors"] if "--source" in stage.scenario.words else []
    return [*adapter, "report.html", f"checkpoints/{_iteration_of(run)}"]


def _iteration_of(run: Path) -> str:
    return f"{int(json.loads((run / 'card.json').read_text())['iteration']):06d}"


def _interrupt_twice(stage: Stage) -> None:
    """Press Ctrl-C twice: the second ends it at once."""
    child = stage.start()
    _sleep_into(stage, child)
    stage.kills += child.send(signal.SIGINT)
    time.sleep(stage.rng.random() * 0.3)
    child.send(signal.SIGINT)
    begin = time.monotonic()
    code = stage.wait(child)
    if time.monotonic() - begin > _AT_ONCE_S:
        stage.faults.append(f"{time.monotonic() - begin:.1f} s from the second Ctrl-C to the end")
    if code not in {0, 130, -signal.SIGINT}:
        stage.faults.append(f"exit code {code} after Ctrl-C twice")


def _pause(stage: Stage) -> None:
    """Stop the process and let it go on."""
    child = stage.start()
    _sleep_into(stage, child)
    stage.kills += child.send(signal.SIGSTOP)
    time.sleep(stage.rng.uniform(0.1, 0.5))
    child.send(signal.SIGCONT)
    if stage.wait(child) != 0:
        raise FaultError(f"exit code {child.code} after it was stopped and let go on")


def _second(stage: Stage) -> None:
    """Start a second process on the same folder while the first is at work."""
    first = stage.start(stage.scenario.command(stage.home))
    time.sleep(stage.rng.uniform(0, 0.9 * stage.twin.seconds))
    stage.kills += 1
    second = stage.start()
    both, over = (first, second), list[Child]()
    limit = time.monotonic() + PATIENCE_S
    while len(over) < 2 and time.monotonic() < limit:
        over += [child for child in both if child not in over and child.poll() is not None]
        time.sleep(_POLL_S)
    codes = [stage.wait(child, 1) for child in both]
    if stage.scenario.together:
        _judge_sharing(stage, codes)
        return
    if all(codes) or not {*codes} <= {0, 2}:
        stage.faults.append(f"exit codes {codes} of two processes on one folder")
    if over[0].code:
        _judge_refusal(stage, *over)


def _judge_sharing(stage: Stage, codes: list[int]) -> None:
    """Note what is wrong after two processes that may share the work."""
    if any(codes):
        stage.faults.append(f"exit codes {codes} of two processes that may share the work")
        return
    found = json.loads((stage.out / "search.json").read_text())
    tried = [str(trial["overrides"]) for trial in found["trials"]]
    if len({*tried}) != len(tried) or not found["complete"]:
        stage.faults.append(f"two processes did these trials: {', '.join(tried)}")
    stage.compares = not stage.scenario.learns


def _judge_refusal(stage: Stage, loser: Child, winner: Child) -> None:
    """Note what is wrong with the words to a process that came while another was at work."""
    said = " ".join(loser.said().split())
    if "exists already" in said:
        return  # the other one was done but for its last words
    if f"process {winner.pid}" not in said:
        stage.faults.append(f"refused without naming the other process: {said[-300:]}")


def _small_disk(stage: Stage) -> None:
    """Let it run onto a disk that is too small, then enlarge the disk."""
    share = stage.rng.uniform(0.05, 1.0)
    if not stage.mount(max(16384, int(share * stage.twin.size))):
        _no_space(stage)
        return
    child = stage.start()
    stage.kills += stage.wait(child) != 0
    stage.free_space()


def _no_space(stage: Stage) -> None:
    """Let nothing be created from a random file event on."""
    child = stage.start(trap=Trap("full", stage.rng.randint(1, sum(stage.twin.events.values()))))
    stage.kills += stage.wait(child) != 0


def _kill_worker(stage: Stage) -> None:
    """Kill one of two processes that train together."""
    child = stage.start()
    wanted = stage.rng.randint(0, 24)
    while child.poll() is None and _logged(stage) < wanted:
        time.sleep(_POLL_S)
    workers = [pid for pid in child.descendants() if b"graftgan" in _command_of(pid)]
    if workers:
        os.kill(stage.rng.choice(workers), signal.SIGKILL)
        stage.kills += 1
    stage.wait(child)
    for pid in (pid for pid in workers if b"graftgan" in _command_of(pid)):
        stage.faults.append("a process lives on after torchrun has ended")
        os.kill(pid, signal.SIGKILL)


def _logged(stage: Stage) -> int:
    log = stage.out / "log.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _sleep_into(stage: Stage, child: Child) -> None:
    """Sleep until a random moment of the command, of its work where it has to start up."""
    begin = 0.0 if stage.scenario.program == "fork" else 0.6
    child.wait(stage.rng.uniform(begin, 1.0) * stage.twin.seconds)


def _end_all(child: Child) -> bool:
    """Kill a command and whatever it started; return whether it was alive."""
    alive = child.poll() is None
    child.end()
    return alive


def _forked(scenario: Scenario) -> bool:
    return scenario.program == "fork"


def _trains(scenario: Scenario) -> bool:
    return scenario.trains and _forked(scenario)


def _adapts(scenario: Scenario) -> bool:
    return _trains(scenario) and "--source" in scenario.words


def _any_process(scenario: Scenario) -> bool:
    return scenario.program != "torchrun"


def _stops(scenario: Scenario) -> bool:
    return scenario.trains and scenario.program != "torchrun"


def _pair(scenario: Scenario) -> bool:
    return scenario.program == "torchrun"


DISTURBANCES = {
    disturbance.name: disturbance
    for disturbance in (
        Disturbance(name="kill", strike=_kill, weight=4, fits=_any_process),
        Disturbance(name="event", strike=_kill_at_event, weight=4, fits=_forked),
        Disturbance(name="file", strike=_kill_at_file, weight=4, fits=_forked),
        Disturbance(name="checkpoint", strike=_kill_at_checkpoint, weight=2, fits=_trains),
        Disturbance(name="adapter", strike=_kill_at_adapter, weight=1, fits=_adapts),
        Disturbance(name="damage", strike=_damage, weight=3, fits=_trains, looks=False),
        Disturbance(name="term", strike=partial(_signal, signal.SIGTERM), weight=2, fits=_stops),
        Disturbance(name="hup", strike=partial(_signal, signal.SIGHUP), weight=1, fits=_trains),
        Disturbance(name="usr1", strike=partial(_signal, signal.SIGUSR1), weight=1, fits=_trains),
        Disturbance(name="int", strike=partial(_signal, signal.SIGINT), weight=1, fits=_forked),
        Disturbance(name="int-int", strike=_interrupt_twice, weight=1, fits=_forked),
        Disturbance(name="pause", strike=_pause, weight=1, fits=_forked),
        Disturbance(name="second", strike=_second, weight=2, fits=_forked),
        Disturbance(name="full-disk", strike=_small_disk, weight=2, fits=_forked),
        Disturbance(name="no-space", strike=_no_space, weight=2, fits=_forked),
        Disturbance(name="worker", strike=_kill_worker, weight=2, fits=_pair),
    )
}
