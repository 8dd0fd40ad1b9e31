"""Read pictures on all cores or on a cluster: each is decoded once, however many filters look."""

import hashlib
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
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch

from graftgan.core.errors import RunError, SettingsError
from graftgan.pictures import (
    Content,
    Unusable,
    decode_large_under,
    decode_whole,
    reasons_for_failure,
)
from graftgan.pictures.curation.decisions import rejected_early
from graftgan.pictures.curation.filters import FILTERS, FilterFunction, Reading, Tools
from graftgan.pictures.curation.readings import PictureReadings
from graftgan.pictures.curation.settings import Rule, Rules
from graftgan.pictures.curation.view import LONGEST, PictureView, picture_view

_AT_ONCE = 4  # pictures that travel to a worker together
_AHEAD = 2  # such groups handed out for each worker before the first comes back
_CLUSTER = 'distributing over a cluster needs dask: pip install "graftgan[cluster]"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One picture to read.

    Attributes:
        record: What is known of it already.
        read: Returns the file's bytes, or pixels; sent to another process.
        rules: What every filter does.
        tools: What filters are built with.
        thorough: Whether dear filters also look at what cheaper ones reject.
    """

    record: PictureReadings
    read: Callable[[], Content]
    rules: Rules
    tools: Tools
    thorough: bool = False


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


def read_picture(task: Task) -> PictureReadings:
    """Return the record of a picture with the readings that were lacking, or why there are none."""
    try:
        with reasons_for_failure():
            content = task.read()
            whole = decode_whole(content, least=LONGEST)
            view = picture_view(whole.image, whole.size)
    except Unusable as reason:
        return replace(task.record, unusable=str(reason), readings={})
    raw = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
    return replace(
        task.record,
        sha256=hashlib.sha256(raw).hexdigest(),
        width=view.width,
        height=view.height,
        readings=_readings(view, task),
    )


def read_pictures(tasks: Sequence[Task]) -> list[PictureReadings]:
    """Return the records of several pictures, in their order."""
    return [read_picture(task) for task in tasks]


def read_all(
    tasks: Iterable[Task], executor: Executor, *, workers: int
) -> Generator[list[PictureReadings], None, None]:
    """Yield records as they come, with few pictures under way so that memory stays flat.

    Raises:
        RunError: A worker was ended from outside.
        SettingsError: A filter cannot be built.
    """
    coming = iter(tasks)
    waiting: set[Future[list[PictureReadings]]] = set()
    try:
        while True:
            while len(waiting) < _AHEAD * workers and (some := list(islice(coming, _AT_ONCE))):
                waiting.add(executor.submit(read_pictures, some))
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

    Args:
        processes: On this machine; 1: in this process.
        cluster: The address of a dask scheduler, whose workers see the same files; None: no.

    Raises:
        SettingsError: dask is not installed, or nobody answers at the address.
    """
    if cluster is not None:
        with _client(cluster) as client:
            threads = sum(
                worker["nthreads"] for worker in client.scheduler_info()["workers"].values()
            )
            yield client.get_executor(), max(1, threads)
    elif processes == 1:
        with ThreadPoolExecutor(1) as pool:
            yield pool, 1
    else:
        context = get_context("spawn")
        pool = ProcessPoolExecutor(
            processes,
            mp_context=context,
            initializer=_begin_worker,
            initargs=(context.Lock(),),
        )
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
    """Keep a worker to one thread, and to large pictures that no other is decoding.

    The pictures are spread over processes already.
    """
    decode_large_under(large)
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


def _readings(view: PictureView, task: Task) -> dict[str, Reading]:
    readings = dict(task.record.readings)
    for name in lacking(task.record, task.rules, thorough=True):
        early = FILTERS[name].dear and not task.thorough
        if early and rejected_early(_active(readings, task.rules), task.rules):
            break
        readings[name] = _measure(name, task.tools)(view)
    return readings


def _active(readings: Mapping[str, Reading], rules: Mapping[str, Rule]) -> dict[str, Reading]:
    return {n: r for n, r in readings.items() if n in rules and rules[n].mode != "off"}


@cache
def _measure(name: str, tools: Tools) -> FilterFunction:
    """Return a filter's measure, built once in each process."""
    return FILTERS[name].build(tools)
