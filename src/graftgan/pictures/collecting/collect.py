"""Collect: list candidates, fetch them in a few threads, store what is a picture."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from graftgan.core.errors import CollectError
from graftgan.pictures.collecting.candidates import FoundPicture, OpenSource, list_candidates
from graftgan.pictures.collecting.examine import Examined, ending_of, examine
from graftgan.pictures.collecting.outcome import Collected, CollectionProgress
from graftgan.pictures.collecting.picture_budget import PictureBudget
from graftgan.pictures.collecting.rate_limit import Clock, Stopped
from graftgan.pictures.collecting.raw_set import RawSet
from graftgan.pictures.collecting.reasons import Refusal, RefusalReason
from graftgan.pictures.collecting.settings import CollectSettings
from graftgan.pictures.collecting.web import Request, Web

Watch = Callable[[CollectionProgress], None]


def collect(
    sources: Sequence[str],
    out: Path,
    settings: CollectSettings | None = None,
    *,
    watch: Watch | None = None,
    clock: Clock | None = None,
) -> Collected:
    """Gather pictures into ``out``; called again with the same sources, it goes on.

    Args:
        sources: Such as ``openverse:betta fish``, ``urls:list.txt`` or a folder; one after another.
        out: The folder; ``manifest.jsonl`` says where each picture comes from, ``refused.jsonl``
            which addresses gave none, and why.
        settings: How many, how politely, within which limits; None: the usual.
        watch: Called from several threads, one at a time, whenever something was decided.
        clock: Tells the time and waits; None: the real one.

    Raises:
        CollectError: A source or the folder cannot be used. Nothing was fetched.
        RunError: A picture cannot be written.
    """
    settings = settings or CollectSettings()
    opened = [list_candidates(text, settings) for text in sources]
    _refuse_out_in_source(opened, out)
    clock = clock or Clock()
    with closing(RawSet(out)) as store, closing(Web(settings, clock)) as web:
        with ThreadPoolExecutor(settings.connections, thread_name_prefix="collect") as pool:
            work = _Work(store, web, settings, clock, pool, watch)
            try:
                for source in opened:
                    work.gather(source)
            except BaseException:
                clock.stop()
                web.close()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        collected = work.collected
        collected.origins = store.origins
        collected.worth_trying_again = store.worth_trying_again()
    return collected


class _Work:
    def __init__(
        self,
        store: RawSet,
        web: Web,
        settings: CollectSettings,
        clock: Clock,
        pool: ThreadPoolExecutor,
        watch: Watch | None,
    ) -> None:
        self.collected = Collected()
        self._store = store
        self._web = web
        self._settings = settings
        self._clock = clock
        self._pool = pool
        self._watch = watch
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._new_names: set[str] = set()
        self._failure: BaseException | None = None

    def gather(self, source: OpenSource) -> None:
        """Collect what one source lists."""
        budget = PictureBudget(self._settings.count, at_once=2 * self._settings.connections)
        candidates = source.listing(self._web)
        try:
            for candidate in candidates:
                if not self._is_new(candidate, budget):
                    if budget.is_full:
                        break
                    continue
                if not budget.enter():
                    break
                self._raise_failure()
                self._pool.submit(self._take, candidate, budget, source.text)
        except CollectError as error:
            self.collected.problems.append(str(error))
        except Stopped:
            pass  # somebody stopped the clock, or a failure did, which is raised below
        finally:
            close = getattr(candidates, "close", None)
            if close is not None:
                close()  # ends a program that lists, and closes an archive
        budget.wait_for_all()
        self._raise_failure()

    def _is_new(self, candidate: FoundPicture, budget: PictureBudget) -> bool:
        """Count a candidate that need not be fetched; return whether it is another one."""
        if candidate.is_local:
            return True  # its bytes will tell
        address = candidate.address
        name = self._store.name_at(address)
        for_good = self._settings.retry_refused
        with self._lock:
            if address in self._seen:
                self.collected.duplicates += 1
            elif name is not None:
                self.collected.already += 1
            elif self._store.is_refused(address, for_good=for_good):
                self.collected.refused_before += 1
            else:
                self._seen.add(address)
                return True
            self._seen.add(address)
        if name is not None:
            budget.count(name)
        return False

    def _take(self, candidate: FoundPicture, budget: PictureBudget, source: str) -> None:
        name = None
        try:
            name = self._stored_or_refused(candidate)
        except Stopped:
            pass
        except BaseException as failure:
            self._fail(failure)
        finally:
            budget.leave(name)
        try:
            self._tell(budget, source)
        except BaseException as failure:
            self._fail(failure)

    def _stored_or_refused(self, candidate: FoundPicture) -> str | None:
        try:
            return self._stored(candidate)
        except Refusal as refusal:
            with self._lock:
                self._store.refuse(candidate, refusal)
                self.collected.refused[refusal.reason.value] += 1
            return None

    def _tell(self, budget: PictureBudget, source: str) -> None:
        if self._watch is None:
            return
        with self._lock:
            refused = self.collected.refused.total()
            have, wanted = budget.have, budget.wanted
            self._watch(
                CollectionProgress(source=source, have=have, wanted=wanted, refused=refused)
            )

    def _fail(self, failure: BaseException) -> None:
        """Let the thread that lists raise ``failure``, and the others end."""
        self._failure = self._failure or failure
        self._clock.stop()
        self._web.close()

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
        content = self._fetched(candidate)  # once more: it may have been damaged on the way
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

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _refuse_out_in_source(opened: Sequence[OpenSource], out: Path) -> None:
    place = out.resolve()
    for source in opened:
        folder = Path(source.text.removeprefix("folder:")).resolve()
        if folder.is_dir() and place.is_relative_to(folder):
            raise CollectError(f"{out} lies in {source.text}, which it collects; choose another")
