"""Run filters on pictures, on all cores or on a cluster, and keep the readings on disk."""

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
from graftgan.pictures.curation.decisions import FilterRules, rejected_early
from graftgan.pictures.curation.filters import FILTERS, FilterFunction, PictureReadings, Tools
from graftgan.pictures.curation.filters.filter import LONGEST_SIDE, picture_view
from graftgan.pictures.decode import decode_large_under, decode_whole, reasons_for_failure
from graftgan.pictures.members import Content, Unusable, sha256_of

_AT_ONCE = 4  # pictures that are sent to a worker together
_AHEAD = 2  # such groups sent to each worker in advance


class Records:
    """The records of one curation, in memory and in a file that survives a kill.

    Each record is appended as it comes. Records made with other tools are dropped, and pictures
    with a damaged line are read again.
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
        """Return the record of a picture; None if there is none or its file has changed."""
        record = self._by_name.get(name)
        return record if record is not None and record.stamp == stamp else None

    def add(self, records: Sequence[PictureReadings]) -> None:
        """Add records; each replaces an older one of the same name."""
        append_text(self.path, as_jsonl(record.as_line() for record in records))
        self._by_name |= {record.name: record for record in records}

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._by_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One picture to read."""

    record: PictureReadings  # what is known about it already
    read: Callable[[], Content]  # sent to another process
    rules: FilterRules
    tools: Tools
    thorough: bool = False  # dear filters also run on pictures that cheaper ones reject


def lacking(record: PictureReadings, rules: FilterRules, *, thorough: bool) -> list[str]:
    """Return the filters that have yet to run on a picture, the cheap ones first."""
    if record.unusable is not None:
        return []
    names = [name for name, rule in rules.items() if rule.mode != "off"]
    cheap, dear = ([n for n in names if FILTERS[n].dear is is_dear] for is_dear in (False, True))
    missing = [name for name in cheap if name not in record.readings]
    if thorough or missing or not rejected_early(record.readings, rules):
        missing += [name for name in dear if name not in record.readings]
    return missing


def read_all(
    tasks: Iterable[Task], executor: Executor, *, workers: int
) -> Generator[list[PictureReadings], None, None]:
    """Yield records as they come, with few pictures under way so that memory stays bounded.

    Raises:
        RunError: A worker was killed.
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
            "a worker was killed, perhaps because memory ran out; run the same command to "
            "continue, with --processes 1 to use the least memory"
        ) from None
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def workers_of(processes: int, cluster: str | None) -> Generator[tuple[Executor, int]]:
    """Yield an executor and its number of workers.

    It is this process, several on this machine, or the workers of the dask scheduler at the
    address ``cluster``, which see the same files.

    Raises:
        SettingsError: dask is not installed, or no scheduler answers.
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
        raise SettingsError(
            'distributing over a cluster needs dask: pip install "graftgan[cluster]"'
        ) from None
    try:
        return Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise SettingsError(f"no dask scheduler answers at {address}: {error}") from None


def _begin_worker(large: AbstractContextManager[object]) -> None:
    """Limit a worker to one thread, and the workers to one large picture at a time."""
    decode_large_under(large)
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


def _read_pictures(tasks: Sequence[Task]) -> list[PictureReadings]:
    return [_read_picture(task) for task in tasks]


def _read_picture(task: Task) -> PictureReadings:
    """Return the record of a picture with the missing readings, or why it is unusable."""
    try:
        with reasons_for_failure():
            content = task.read()
            whole = decode_whole(content, least=LONGEST_SIDE)
            view = picture_view(whole.image, whole.size)
    except Unusable as reason:
        return replace(task.record, unusable=str(reason), readings={})
    readings = dict(task.record.readings)
    for name in lacking(task.record, task.rules, thorough=True):
        may_stop = FILTERS[name].dear and not task.thorough
        if may_stop and rejected_early(readings, task.rules):
            break
        readings[name] = _measure(name, task.tools)(view)
    size = (view.width, view.height)
    return replace(task.record, sha256=sha256_of(content), size=size, readings=readings)


@cache
def _measure(name: str, tools: Tools) -> FilterFunction:
    """Return a filter's measure, built once in each process."""
    return FILTERS[name].build(tools)
