"""A folder, zip or npz: pictures on this machine, with the origins that travel with them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from graftgan.core.errors import CollectError, ImageSetError
from graftgan.core.provenance import Origin, origins_of
from graftgan.pictures import Member, Unusable, file_of, find_container
from graftgan.pictures.collecting.candidates import SOURCES, FoundPicture, Listing, SourceKind
from graftgan.pictures.collecting.reasons import Refusal, RefusalReason
from graftgan.pictures.collecting.settings import CollectSettings
from graftgan.pictures.collecting.web import Web


def open_folder(what: str, settings: CollectSettings) -> Listing:
    """Return a listing of the pictures in a folder, zip or npz.

    Raises:
        CollectError: There is none, or it is none of these.
    """
    path = Path(what)
    try:
        source = find_container(path)
    except ImageSetError as error:
        raise CollectError(str(error)) from None

    def listing(_web: Web) -> Iterator[FoundPicture]:
        origins = origins_of(path)
        with source.open() as contents:
            for member in contents.members:
                known = origins.get(member.name, Origin(title=member.name, source="folder"))
                candidate = FoundPicture(name=f"folder:{path.name}/{member.name}", origin=known)
                yield _with_content(candidate, member, settings.largest_bytes)

    return listing


def _with_content(candidate: FoundPicture, member: Member, largest: int) -> FoundPicture:
    try:
        content = member.read()
    except Unusable as problem:
        refusal = Refusal(RefusalReason.UNREADABLE, str(problem))
        return replace(candidate, refusal=refusal, content=b"")
    file = file_of(content)
    too_large = len(file) > largest
    refusal = Refusal(RefusalReason.TOO_LARGE, f"{len(file) / 1e6:,.3g} MB") if too_large else None
    return replace(candidate, content=b"" if too_large else file, refusal=refusal)


SOURCES.register("folder")(SourceKind(open=open_folder))
