"""Mix sets into one with known proportions: a zip of the pictures as they were."""

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from graftgan.core.errors import CountProgress, ImageSetError, SettingsError
from graftgan.core.files import distinct_name, without_archive_ending, written_whole
from graftgan.core.randomness import Randomness
from graftgan.pictures.containers import find_container
from graftgan.pictures.decode import Shape, decode_all, file_of
from graftgan.pictures.members import Container, Content, Contents, Skipped

_CHECKED_AT = Shape(resolution=16, channels=3, minimum_side=1)  # only tests that it can be read
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # a fixed date, so that equal mixes are equal files


@dataclass(frozen=True, slots=True)
class Part:
    """One set of a mix: a folder, zip or npz, and its weight among the others."""

    path: Path
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """The contents of a mix."""

    counts: dict[str, int]  # pictures by the name of their set, which is their folder in the zip
    skipped: tuple[Skipped, ...]  # chosen files that are not pictures; others took their place


def parse_part(text: str) -> Part:
    """Return the part that ``PATH:SHARE`` or a path alone names; SettingsError: a bad share."""
    path, colon, share = text.rpartition(":")
    if not colon or Path(text).exists():
        return Part(Path(text))
    try:
        number = float(share)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise SettingsError(f"'{text}' has no share; write PATH:SHARE, such as faces.zip:0.5")
    return Part(Path(path), number)


def mix_sets(
    parts: Sequence[Part],
    destination: Path,
    *,
    count: int | None = None,
    seed: int = 0,
    progress: CountProgress | None = None,
) -> Mixture:
    """Write pictures of several sets, chosen by ``seed``, into one new zip with a folder for each.

    A picture keeps its bytes; one from an npz becomes a PNG. ``mix.json`` in the zip lists the
    contents. The shares are met to within one picture. ``count`` is the number of pictures in all;
    by default, as many as the shares allow without repeating one. ``progress`` is called with
    (pictures read, pictures in all).

    Raises:
        ImageSetError: A set cannot be read or has too few usable pictures.
        SettingsError: The destination exists, or there are fewer than two sets.
    """
    if len(parts) < 2:
        raise SettingsError("a mix needs two sets or more: a.zip:0.5 b.zip:0.5")
    if destination.suffix.lower() != ".zip":
        name = destination.name
        raise SettingsError(f"a mix is a zip; call it {name}.zip, not {name}")
    if destination.exists():
        raise SettingsError(f"{destination} exists already; choose another --out, or remove it")
    names, sources = _names(parts), [find_container(part.path) for part in parts]
    total = sum(part.share for part in parts)
    shares = [part.share / total for part in parts]
    count = count or _most(sources, shares)
    wanted = _whole_numbers(shares, count)
    skipped: list[Skipped] = []
    listed: list[dict[str, str]] = []
    with written_whole(destination.absolute()) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, source, needed in zip(names, sources, wanted, strict=True):
            before = len(listed)
            with source.open() as contents:
                for member, content, sha256 in _usable(contents, needed, name, seed, skipped):
                    entry = f"{name}/{member}" + ".png" * (not isinstance(content, bytes))
                    archive.writestr(zipfile.ZipInfo(entry, _LONG_AGO), file_of(content))
                    listed.append({"name": entry, "from": member, "sha256": sha256})
                    if progress is not None:
                        progress(len(listed), count)
            found = len(listed) - before
            if found < needed:
                raise ImageSetError(
                    f"{source.path} has {found} usable pictures, and {needed} are needed for its "
                    f"share of {count}; lower --count or its share"
                )
        known = {
            "seed": seed,
            "sets": [
                {"name": name, "path": part.path.name, "share": share, "pictures": needed}
                for name, part, share, needed in zip(names, parts, shares, wanted, strict=True)
            ],
            "pictures": listed,
        }
        archive.writestr(zipfile.ZipInfo("mix.json", _LONG_AGO), json.dumps(known, indent=1))
    return Mixture(counts=dict(zip(names, wanted, strict=True)), skipped=tuple(skipped))


def _most(sources: Sequence[Container], shares: Sequence[float]) -> int:
    """Return the largest number of pictures in all without repeating one."""
    sizes: list[int] = []
    for source in sources:
        with source.open() as contents:
            sizes.append(len(contents.members))
    # A share such as 0.1 is not exact in binary: 30 pictures at 0.1 are 300, not 299.
    return max(1, int(min(n / share for n, share in zip(sizes, shares, strict=True)) + 1e-9))


def _usable(
    contents: Contents, needed: int, name: str, seed: int, skipped: list[Skipped]
) -> Iterator[tuple[str, Content, str]]:
    """Yield name, content and hash of up to ``needed`` usable pictures in random order."""
    rng = Randomness(seed).generator(f"mix of {name}")
    order = torch.randperm(len(contents.members), generator=rng).tolist()
    members = [contents.members[place] for place in order]
    found = 0
    while found < needed and members:
        tried, members = members[: needed - found], members[needed - found :]
        for member, outcome in zip(tried, decode_all(tried, _CHECKED_AT), strict=True):
            if isinstance(outcome, Skipped):
                skipped.append(Skipped(f"{name}/{outcome.name}", outcome.reason))
            else:
                found += 1
                yield member.name, member.read(), outcome.sha256


def _names(parts: Sequence[Part]) -> list[str]:
    """Return a different folder name for each set."""
    names: list[str] = []
    for part in parts:
        plain = without_archive_ending(part.path.resolve().name)
        names.append(distinct_name(plain, names.__contains__))
    return names


def _whole_numbers(shares: Sequence[float], count: int) -> list[int]:
    """Return whole numbers that add up to ``count``, each within one of its share."""
    exact = [share * count for share in shares]
    numbers = [int(number + 1e-9) for number in exact]
    by_rest = sorted(range(len(exact)), key=lambda i: numbers[i] - exact[i])
    for place in by_rest[: count - sum(numbers)]:
        numbers[place] += 1
    return numbers
