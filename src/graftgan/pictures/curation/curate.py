"""Turn a folder of raw pictures into a clean set, with a page that shows every decision."""

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from graftgan.core.errors import ImageSetError, Progress, RunError, SettingsError, silent
from graftgan.core.files import FileLock, content_of
from graftgan.core.provenance import Origin, origins_of
from graftgan.core.settings import require_range
from graftgan.pictures.containers import find_container
from graftgan.pictures.curation.clean_set import cut_square, write_clean_set
from graftgan.pictures.curation.curation_page import write_curation_page
from graftgan.pictures.curation.decisions import (
    FilterRules,
    Verdict,
    decide,
    read_overrides,
    usual_rules,
)
from graftgan.pictures.curation.filters import PictureReadings, Tools
from graftgan.pictures.curation.filters.face import build_face_finder
from graftgan.pictures.curation.scan import Records, Task, lacking, read_all, workers_of
from graftgan.pictures.members import Container, Content, Member, Unusable

PAGE = "curation.html"
_STATE = ".curation"  # hidden, so that its files never count as pictures of the set
_PER_PROCESS = 32  # pictures that are worth starting another process


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """Kept pictures are cut to squares: around the face if only faces are kept."""

    side: int | None = None  # the most pixels of a side; None: no limit

    def __post_init__(self) -> None:
        require_range(self, "at least 1", "side")


@dataclass(frozen=True, slots=True, kw_only=True)
class CurationSettings:
    """How a set is curated."""

    rules: FilterRules = field(default_factory=usual_rules)  # what every filter does; see rules_of
    crop: Crop | None = None  # cut kept pictures to squares; None: they keep their bytes
    tools: Tools = field(default_factory=Tools)  # optional files that filters use
    processes: int | None = None  # None: depends on the cores and the number of pictures
    cluster: str | None = None  # address of a dask scheduler to use; its workers see the files
    thorough: bool = False  # dear filters also run on pictures that cheaper ones reject

    def __post_init__(self) -> None:
        require_range(self, "at least 1", "processes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Curation:
    """The result of a curation."""

    verdicts: Sequence[Verdict]  # on every picture, by name
    rules: FilterRules  # that led to them
    folder: Path  # the clean set
    page: Path  # shows every decision
    read: int  # the number of pictures read now; the others were known
    origins: Mapping[str, Origin]  # of every picture whose origin is known


def curate(
    raw: Path,
    out: Path,
    settings: CurationSettings | None = None,
    *,
    command: str = "",
    progress: Progress = silent,
) -> Curation:
    """Read every picture of ``raw``, decide, and write the clean set with its page into ``out``.

    Readings are kept in ``out``. If stopped, the same call continues; with other rules it decides
    again and only takes the readings that are missing.

    ``raw`` is a folder, zip or npz; ``manifest.jsonl`` in it says where pictures come from. ``out``
    is new or of an earlier curation of the same pictures. ``command`` is what the user typed, for
    the page.

    Raises:
        ImageSetError: ``raw`` cannot be read or has no picture, or one folder is in the other.
        SettingsError: A filter needs a package that is missing, or the overrides are wrong.
        RunError: ``out`` cannot be written, or a worker was killed.
    """
    settings = settings or CurationSettings()
    source = find_container(raw)
    first, second = raw.resolve(), out.resolve()
    if first.is_relative_to(second) or second.is_relative_to(first):
        raise ImageSetError(
            f"one of {out} and {raw} is inside the other; give the clean set a folder of its own, "
            "so that its pictures are not taken for raw ones"
        )
    made_by = _made_by(settings.tools)
    with source.open() as contents:
        members = {member.name: member for member in contents.members}
        if not members:
            raise ImageSetError(f"{raw} contains no pictures; nothing to curate")
        with _for_one_process(out):
            overrides = read_overrides(out)
            overrides.check(members)
            records = Records(out / _STATE, made_by=made_by)
            read = _read_missing(source, members, records, settings, progress)
            known = [_known(records, member) for member in members.values()]
            found = Curation(
                verdicts=decide(known, settings.rules, overrides),
                rules=settings.rules,
                folder=out,
                page=out / PAGE,
                read=read,
                origins=origins_of(raw),
            )
            cut = None
            if settings.crop is not None:
                of_faces = settings.rules["face"].mode == "keep_only"
                finder = build_face_finder(settings.tools) if of_faces else None
                cut = partial(cut_square, side=settings.crop.side, find_faces=finder)
            write_clean_set(
                found.verdicts,
                out,
                read=lambda name: members[name].read(),
                origins=found.origins,
                cut=cut,
                progress=partial(progress, "writing the clean set"),
            )
            write_curation_page(
                found.verdicts,
                found.rules,
                read=lambda name: members[name].read(),
                name=first.name,
                command=command,
                destination=found.page,
                progress=partial(progress, "drawing the page"),
            )
    return found


@contextmanager
def _for_one_process(out: Path) -> Generator[None]:
    """Hold the lock of the folder, so that two curations do not overwrite each other's work."""
    try:
        (out / _STATE).mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / _STATE / "lock")
        is_free = lock.acquire(wait=False)
    except OSError as error:
        raise RunError(f"cannot write into {out}: {error.strerror or error}") from None
    if not is_free:
        raise RunError(f"{out} is in use by {lock.holder()}; wait for it or stop it")
    try:
        yield
    finally:
        lock.release()


def _made_by(tools: Tools) -> dict[str, str]:
    """Return what a reading depends on besides the picture."""
    detector = tools.face_detector
    try:
        face = "" if detector is None else sha256(content_of(detector)).hexdigest()
    except OSError as error:
        raise SettingsError(f"cannot read the face detector {detector}: {error.strerror}") from None
    return {"graftgan": version("graftgan"), "face_detector": face}


def _known(records: Records, member: Member) -> PictureReadings:
    known = records.get(member.name, member.stamp)
    return known or PictureReadings(
        name=member.name, stamp=member.stamp, sha256="", size=(0, 0), readings={}
    )


def _read_missing(
    source: Container,
    members: Mapping[str, Member],
    records: Records,
    settings: CurationSettings,
    progress: Progress,
) -> int:
    """Take the readings that no record has yet; return the number of pictures read."""
    rules, thorough = settings.rules, settings.thorough
    known = {name: _known(records, member) for name, member in members.items()}
    missing = [n for n, record in known.items() if lacking(record, rules, thorough=thorough)]
    if not missing:
        return 0
    tasks = (
        Task(
            record=known[name],
            # Members of an archive are read here: its open file cannot be sent to other processes.
            read=members[name].read if source.path.is_dir() else _taken_out(members[name]),
            rules=rules,
            tools=settings.tools,
            thorough=thorough,
        )
        for name in missing
    )
    worthwhile = max(1, min(os.cpu_count() or 1, len(missing) // _PER_PROCESS))
    with (
        workers_of(settings.processes or worthwhile, settings.cluster) as (executor, workers),
        closing(read_all(tasks, executor, workers=workers)) as read,
    ):
        done = 0
        for some in read:
            records.add(some)
            done += len(some)
            progress("reading pictures", done, len(missing))
    return len(missing)


def _taken_out(member: Member) -> Callable[[], Content]:
    try:
        return partial(_given, member.read())
    except Unusable as reason:
        return partial(_given, reason)


def _given(content: Content | Unusable) -> Content:
    if isinstance(content, Unusable):
        raise content
    return content
