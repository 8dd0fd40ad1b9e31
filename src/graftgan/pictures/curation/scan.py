"""Read pictures on all cores or on a cluster, each once, and keep what was read on disk."""

import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from graftgan.core.errors import RunError, SettingsError
from graftgan.core.files import append_text, as_jsonl, read_json, write_json, write_jsonl
from graftgan.core.settings import read_lines
from graftgan.pictures.curation.decisions import PictureReadings, Rules, rejected_early
from graftgan.pictures.curation.filters import FILTERS, FilterFunction, Reading, Tools
from graftgan.pictures.curation.filters.filter import LONGEST, PictureView, picture_view
from graftgan.pictures.decode import decode_large_under, decode_whole, reasons_for_failure
from graftgan.pictures.members import Content, Unusable, sha256_of

_AT_ONCE = 4  # pictures that travel to a worker together
_AHEAD = 2  # such groups handed out for each worker before the first comes back
_CLUSTER = 'distributing over a cluster needs dask: pip install "graftgan[cluster]"'


class Records:
    """The records of one curation, in memory and in a file that a kill cannot spoil.

    Each record is appended as it comes. What was made by other tools is forgotten, and what a
    damaged line was about is read anew.
    """

    def __init__(self, folder: Path, *, made_by: Mapping[str, str]) -> None:
        self.path = folder / "readings.jsonl"
        card = folder / "made_by.json"
        known: object = None
        with suppress(RunError):
            known = read_json(card, error=RunError)
        whole, _ = read_lines(PictureReadings, self.path) if known == dict(made_by) else ([], [])
        self._by_name = {record.name: record for record in whole}
        write_jsonl(self.path, (record.as_line() for record in self._by_name.values()))
        write_json(card, dict(made_by))

    def get(self, name: str, stamp: str) -> PictureReadings | None:
        """Return what is known of a picture, unless its file has changed since."""
        record = self._by_name.get(name)
        return record if record is not None and record.stamp == stamp else None

    def add(self, records: Sequence[PictureReadings]) -> None:
        """Keep records, each in place of an older one of its name."""
        append_text(self.path, as_jsonl(record.as_line() for record in records))
        self._by_name |= {record.name: record for record in records}

    def __len__(self) -> int:
        """Return how many pictures are known."""
        return len(self._by_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One picture to read."""

    record: PictureReadings  # what is known of it already
    read: Callable[[], Content]  # sent to another process
    rules: Rules
    tools: Tools
    thorough: bool = False  # dear filters also look at what cheaper ones reject


def lacking(record: PictureReadings, rules: Rules, *, thorough: bool) -> list[str]:
    """Return the filters that have still to look at a picture, the cheap ones first."""
    if record.unusable is not None:
        return []
    names = [name for name, rule in rules.items() if rule.mode != "off"]
    cheap, dear = ([n for n in names if FILTERS[n].dear is is_dear] for is_dear in (False, True))
    missing = [name for name in cheap if name not in record.readings]
    if thorough or missing or not rejected_early(_active(record.readings, rules), rules):
        missing += [name for name in dear if name not in record.readings]
    return missing


def read_all(
    tasks: Iterable[Task], executor: Executor, *, workers: int
) -> Generator[list[PictureReadings], None, None]:
    """Yield records as they come, with few pictures under way so that memory stays flat.

    RunError is raised where a worker was ended from outside.
    """
    coming = iter(tasks)
    waiting: set[Future[list[PictureReadings]]] = set()
    try:
        while True:
            while len(waiting) < _AHEAD * workers and (some := list(islice(coming, _AT_ONCE))):
                waiting.add(executor.submit(_read_pictures, some))
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenExecutor:
        raise RunError(
            "a worker was ended from outside, perhaps for lack of memory; the same command goes "
            "on where it stopped, --processes 1 needs the least"
        ) from None
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def workers_of(processes: int, cluster: str | None) -> Generator[tuple[Executor, int]]:
    """Yield what computes, and how many pictures it takes at once.

    That is this process, several on this machine, or the workers of the dask scheduler at the
    address ``cluster``, which see the same files. SettingsError: nobody answers there.
    """
    if cluster is not None:
        with _client(cluster) as client:
            workers = client.scheduler_info()["workers"].values()
            yield client.get_executor(), max(1, sum(worker["nthreads"] for worker in workers))
    elif processes == 1:
        with ThreadPoolExecutor(1) as pool:
            yield pool, 1
    else:
        context = get_context("spawn")
        lock = context.Lock()
        pool = ProcessPoolExecutor(processes, context, initializer=_begin_worker, initargs=(lock,))
        try:
            yield pool, processes
        finally:
            pool.shutdown(cancel_futures=True)


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise SettingsError(_CLUSTER) from None
    try:
        return Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise SettingsError(f"no dask scheduler answers at {address}: {error}") from None


def _begin_worker(large: AbstractContextManager[object]) -> None:
    """Keep a worker to one thread, and to large pictures that no other is decoding."""
    decode_large_under(large)
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


def _read_pictures(tasks: Sequence[Task]) -> list[PictureReadings]:
    return [_read_picture(task) for task in tasks]


def _read_picture(task: Task) -> PictureReadings:
    """Return the record of a picture with the readings that were lacking, or why there are none."""
    try:
        with reasons_for_failure():
            content = task.read()
            whole = decode_whole(content, least=LONGEST)
            view = picture_view(whole.image, whole.size)
    except Unusable as reason:
        return replace(task.record, unusable=str(reason), readings={})
    return replace(
        task.record,
        sha256=sha256_of(content),
        size=(view.width, view.height),
        readings=_readings(view, task),
    )


def _readings(view: PictureView, task: Task) -> dict[str, Reading]:
    readings = dict(task.record.readings)
    for name in lacking(task.record, task.rules, thorough=True):
        early = FILTERS[name].dear and not task.thorough
        if early and rejected_early(_active(readings, task.rules), task.rules):
            break
        readings[name] = _measure(name, task.tools)(view)
    return readings


def _active(readings: Mapping[str, Reading], rules: Rules) -> dict[str, Reading]:
    return {n: r for n, r in readings.items() if n in rules and rules[n].mode != "off"}


@cache
def _measure(name: str, tools: Tools) -> FilterFunction:
    """Return a filter's measure, built once in each process."""
    return FILTERS[name].build(tools)
