"""List candidates, fetch them in a few threads, and store the pictures."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from graftgan.core.errors import CollectError
from graftgan.core.provenance import Origin
from graftgan.pictures.collecting.candidates import FoundPicture, Listing, list_candidates
from graftgan.pictures.collecting.raw_set import Examined, RawSet, ending_of, examine
from graftgan.pictures.collecting.refusals import Refusal, RefusalReason
from graftgan.pictures.collecting.settings import CollectSettings
from graftgan.pictures.collecting.web import Clock, Request, Stopped, Web


@dataclass(slots=True)
class Collected:
    """The result of a collection."""

    new: int = 0  # pictures stored
    already: int = 0  # candidates whose picture was collected earlier
    duplicates: int = 0  # candidates with the address or the bytes of another
    refused: Counter[str] = field(default_factory=Counter[str])  # candidates this time, by reason
    refused_before: int = 0  # candidates not tried because they were refused earlier
    problems: list[str] = field(default_factory=list[str])  # why sources were not listed to the end
    origins: list[Origin] = field(default_factory=list[Origin])  # of all pictures in the folder
    worth_trying_again: int = 0  # refused addresses that may work later or with other settings


@dataclass(frozen=True, slots=True)
class CollectionProgress:
    """The progress on one source."""

    source: str  # as the user named it
    have: int  # different pictures of it, including earlier ones
    wanted: int | None  # None: all
    refused: int  # candidates refused so far, of all sources


Watch = Callable[[CollectionProgress], None]


def collect(
    sources: Sequence[str],
    out: Path,
    settings: CollectSettings | None = None,
    *,
    watch: Watch | None = None,
    clock: Clock | None = None,
) -> Collected:
    """Gather pictures into ``out``; a call with the same sources continues an earlier one.

    Sources, such as ``openverse:betta fish``, ``urls:list.txt`` or a folder, are processed one
    after another. In ``out``, ``manifest.jsonl`` says where each picture comes from, and
    ``refused.jsonl`` which addresses gave none, and why. ``watch`` is called from several threads,
    one at a time, after each candidate; ``clock`` tells the time and waits.

    Raises:
        CollectError: A source or the folder cannot be used. Nothing was fetched.
        RunError: A picture cannot be written.
    """
    settings = settings or CollectSettings()
    listings = [list_candidates(text, settings) for text in sources]
    for source in sources:
        folder = Path(source.removeprefix("folder:")).resolve()
        if folder.is_dir() and out.resolve().is_relative_to(folder):
            raise CollectError(f"{out} is inside {source}, its own source; choose another folder")
    clock = clock or Clock()
    with closing(RawSet(out)) as store, closing(Web(settings, clock)) as web:
        with ThreadPoolExecutor(settings.connections, thread_name_prefix="collect") as pool:
            work = _Work(store, web, settings, clock, pool, watch)
            try:
                for source, listing in zip(sources, listings, strict=True):
                    work.gather(source, listing)
            except BaseException:
                clock.stop()
                web.close()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        collected = work.collected
        collected.origins = store.origins
        collected.worth_trying_again = store.worth_trying_again()
    return collected


@dataclass(slots=True, eq=False)
class _Work:
    _store: RawSet
    _web: Web
    _settings: CollectSettings
    _clock: Clock
    _pool: ThreadPoolExecutor
    _watch: Watch | None
    collected: Collected = field(default_factory=Collected)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seen: set[str] = field(default_factory=set[str])
    _new_names: set[str] = field(default_factory=set[str])
    _failure: BaseException | None = None

    def gather(self, source: str, listing: Listing) -> None:
        wanted, at_once = self._settings.count, 2 * self._settings.connections
        have: set[str] = set()  # different pictures of this source, now or earlier
        coming: set[Future[None]] = set()

        def suffices(count: int) -> bool:
            return wanted is not None and count >= wanted

        candidates = listing(self._web)
        try:
            for candidate in candidates:
                is_new = self._is_new(candidate, have)
                # Never fetch more at once than there are connections for or pictures wanted.
                while is_new and not suffices(len(have)):
                    if len(coming) < at_once and not suffices(len(have) + len(coming)):
                        break
                    coming = wait(coming, return_when=FIRST_COMPLETED).not_done
                if suffices(len(have)):
                    break
                if is_new:
                    self._raise_failure()
                    coming.add(self._pool.submit(self._take, candidate, have, source))
        except CollectError as error:
            self.collected.problems.append(str(error))
        except Stopped:
            pass  # stopped from outside, or by a failure, which is raised below
        finally:
            if (close := getattr(candidates, "close", None)) is not None:
                close()  # ends a program that lists, and closes an archive
        wait(coming)
        self._raise_failure()

    def _is_new(self, candidate: FoundPicture, have: set[str]) -> bool:
        """Return whether a candidate must be fetched; count it otherwise."""
        if candidate.is_local:
            return True  # decided by its bytes
        address = candidate.address
        with self._lock:
            name = self._store.name_at(address)
            is_seen = address in self._seen
            self._seen.add(address)
            if name is not None:
                have.add(name)
            if is_seen:
                self.collected.duplicates += 1
            elif name is not None:
                self.collected.already += 1
            elif self._store.is_refused(address, for_good=self._settings.retry_refused):
                self.collected.refused_before += 1
            else:
                return True
        return False

    def _take(self, candidate: FoundPicture, have: set[str], source: str) -> None:
        try:
            try:
                have.add(self._stored(candidate))
            except Refusal as refusal:
                with self._lock:
                    self._store.refuse(candidate, refusal)
                    self.collected.refused[refusal.reason.value] += 1
        except Stopped:
            pass
        except BaseException as failure:
            self._fail(failure)
        try:
            with self._lock:
                refused = self.collected.refused.total()
                if self._watch is not None:
                    count = self._settings.count
                    self._watch(CollectionProgress(source, len(have), count, refused))
        except BaseException as failure:
            self._fail(failure)

    def _fail(self, failure: BaseException) -> None:
        """Make the listing thread raise ``failure``, and the others end."""
        self._failure = self._failure or failure
        self._clock.stop()
        self._web.close()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _stored(self, candidate: FoundPicture) -> str:
        if candidate.refusal is not None:
            raise candidate.refusal
        content, examined = self._examined(candidate)
        with self._lock:
            name, is_new = self._store.keep(candidate, content, examined)
            if is_new:
                self.collected.new += 1
                self._new_names.add(name)
            elif candidate.is_local and name not in self._new_names:
                self.collected.already += 1
            else:
                self.collected.duplicates += 1
        return name

    def _examined(self, candidate: FoundPicture) -> tuple[bytes, Examined]:
        if candidate.content is not None:
            return candidate.content, examine(candidate.content)
        try:
            content = self._fetched(candidate)
            return content, examine(content)
        except Refusal as refusal:
            if refusal.reason is not RefusalReason.DAMAGED:
                raise
        content = self._fetched(candidate)  # again: it may have been damaged on the way
        return content, examine(content)

    def _fetched(self, candidate: FoundPicture) -> bytes:
        request = Request(
            largest=self._settings.largest_bytes,
            home=candidate.home,
            asks_robots=candidate.asks_robots,
            check_start=ending_of,
            headers=(("Referer", candidate.referer),) if candidate.referer else (),
        )
        with self._store.incoming() as file:
            self._web.download(candidate.name, file, request)
            file.seek(0)
            return file.read()
