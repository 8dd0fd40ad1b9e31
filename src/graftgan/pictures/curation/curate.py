"""A folder of raw pictures becomes a clean set, with a page that shows every decision."""

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from graftgan.core.errors import ImageSetError, RunError, SettingsError
from graftgan.core.locks import FileLock
from graftgan.core.progress import Progress, silent
from graftgan.core.provenance import Origin, origins_of
from graftgan.pictures import Container, Content, Member, Unusable, find_container
from graftgan.pictures.curation.clean_set import Cut, write_clean_set
from graftgan.pictures.curation.crop import cut_square
from graftgan.pictures.curation.decisions import Verdict, decide
from graftgan.pictures.curation.filters import Tools
from graftgan.pictures.curation.filters.face import build_face_finder
from graftgan.pictures.curation.overrides import read_overrides
from graftgan.pictures.curation.page_data import write_curation_page
from graftgan.pictures.curation.readings import PictureReadings, Records
from graftgan.pictures.curation.scan import Task, lacking, read_all, workers_of
from graftgan.pictures.curation.settings import Rules, usual_rules

PAGE = "curation.html"
_STATE = ".curation"  # hidden, so that no picture of it ever counts as one of the set
_PER_PROCESS = 32  # pictures that are worth the start of another process


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """How kept pictures become squares: around the face where only faces are kept.

    Attributes:
        side: The most pixels of a side; None: what the picture has.
    """

    side: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurationSettings:
    """How a set is curated.

    Attributes:
        rules: What every filter does; see :func:`rules_of`.
        crop: Whether kept pictures are cut to squares; None: they keep their bytes.
        tools: What filters are built with.
        processes: On this machine; None: as many as there are cores and work for.
        cluster: The address of a dask scheduler that reads instead; its workers see the same files.
        thorough: Whether dear filters also look at what cheaper ones reject.
    """

    rules: Rules = field(default_factory=usual_rules)
    crop: Crop | None = None
    tools: Tools = field(default_factory=Tools)
    processes: int | None = None
    cluster: str | None = None
    thorough: bool = False

    def __post_init__(self) -> None:
        if self.processes is not None and self.processes < 1:
            raise SettingsError(f"processes must be at least 1, got {self.processes}")
        if self.crop is not None and self.crop.side is not None and self.crop.side < 1:
            raise SettingsError(f"side must be at least 1 px, got {self.crop.side}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Curation:
    """What became of a set.

    Attributes:
        verdicts: On every picture, by name.
        rules: By which they were reached.
        folder: The clean set.
        page: Where every decision is to be seen.
        read: How many pictures were read now; the others were known.
        origins: Of every picture whose origin is known.
    """

    verdicts: Sequence[Verdict]
    rules: Rules
    folder: Path
    page: Path
    read: int
    origins: Mapping[str, Origin]


def curate(
    raw: Path,
    out: Path,
    settings: CurationSettings | None = None,
    *,
    command: str = "",
    progress: Progress = silent,
) -> Curation:
    """Read every picture of ``raw``, decide, and write the clean set with its page into ``out``.

    What was read stays in ``out``: stopped at any time, the same call goes on; with other rules
    it decides anew and reads only what was never looked at.

    Args:
        raw: A folder, zip or npz; ``manifest.jsonl`` in it says where pictures come from.
        out: The folder to write; one of an earlier curation of the same pictures is brought up
            to date.
        settings: How it is curated.
        command: What a person typed, for the page.
        progress: Shows how far it is.

    Raises:
        ImageSetError: ``raw`` cannot be read or holds no picture, or one folder lies in the other.
        SettingsError: A filter needs what is not installed, or the overrides are wrong.
        RunError: The place cannot be written, or a worker was ended from outside.
    """
    settings = settings or CurationSettings()
    source = find_container(raw)
    _check_places(raw, out)
    made_by = _made_by(settings.tools)
    with source.open() as contents:
        members = {member.name: member for member in contents.members}
        if not members:
            raise ImageSetError(f"{raw} holds no file that is a picture; nothing to curate")
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
            _write(found, members, settings, command, raw.resolve().name, progress)
    return found


def _write(
    found: Curation,
    members: Mapping[str, Member],
    settings: CurationSettings,
    command: str,
    name: str,
    progress: Progress,
) -> None:
    """Write the clean set, then the page."""

    def content(name: str) -> Content:
        return members[name].read()

    write_clean_set(
        found.verdicts,
        found.folder,
        read=content,
        origins=found.origins,
        cut=_cut(settings),
        progress=partial(progress, "writing the clean set"),
    )
    write_curation_page(
        found.verdicts,
        found.rules,
        read=content,
        name=name,
        command=command,
        destination=found.page,
        progress=partial(progress, "drawing the page"),
    )


def _cut(settings: CurationSettings) -> Cut | None:
    """Return what makes squares, if any."""
    if settings.crop is None:
        return None
    of_faces = settings.rules["face"].mode == "keep_only"
    finder = build_face_finder(settings.tools) if of_faces else None
    return partial(cut_square, side=settings.crop.side, find_faces=finder)


@contextmanager
def _for_one_process(out: Path) -> Generator[None]:
    """Hold the folder: two curations that write into one would undo each other's work."""
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


def _check_places(raw: Path, out: Path) -> None:
    first, second = raw.resolve(), out.resolve()
    if first == second or first.is_relative_to(second) or second.is_relative_to(first):
        raise ImageSetError(
            f"{out} and {raw} lie in one another; give the clean set a folder of its own, "
            "so that its pictures are not taken for raw ones"
        )


def _made_by(tools: Tools) -> dict[str, str]:
    """Return what a reading depends on beside the picture."""
    detector = tools.face_detector
    try:
        face = "" if detector is None else sha256(detector.read_bytes()).hexdigest()
    except OSError as error:
        raise SettingsError(f"cannot read the face detector {detector}: {error.strerror}") from None
    return {"graftgan": version("graftgan"), "face_detector": face}


def _known(records: Records, member: Member) -> PictureReadings:
    known = records.get(member.name, member.stamp)
    return known or PictureReadings(name=member.name, stamp=member.stamp, readings={})


def _read_missing(
    source: Container,
    members: Mapping[str, Member],
    records: Records,
    settings: CurationSettings,
    progress: Progress,
) -> int:
    """Read what no record says yet; return how many pictures that were."""
    rules, thorough = settings.rules, settings.thorough
    missing = [
        member
        for member in members.values()
        if lacking(_known(records, member), rules, thorough=thorough)
    ]
    if not missing:
        return 0

    def tasks() -> Iterator[Task]:
        for member in missing:
            yield Task(
                record=_known(records, member),
                # What lies in an archive is read here: its open file cannot be sent to others.
                read=member.read if source.path.is_dir() else _taken_out(member),
                rules=rules,
                tools=settings.tools,
                thorough=thorough,
            )

    processes = settings.processes or _worthwhile(len(missing))
    with (
        workers_of(processes, settings.cluster) as (executor, workers),
        closing(read_all(tasks(), executor, workers=workers)) as read,
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
        return partial(_refused, str(reason))


def _given(content: Content) -> Content:
    return content


def _refused(reason: str) -> Content:
    raise Unusable(reason)


def _worthwhile(pictures: int) -> int:
    return max(1, min(os.cpu_count() or 1, pictures // _PER_PROCESS))
