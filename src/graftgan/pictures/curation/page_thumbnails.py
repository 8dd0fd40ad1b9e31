"""The pictures of the page: only those that are shown are decoded."""

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from graftgan.pictures import Content, Unusable, decode_whole, reasons_for_failure
from graftgan.reports import Thumbnail, thumbnail

Read = Callable[[str], Content | None]
"""Returns the bytes, or the pixels, of a picture by its name; None: it is gone."""
_MOST_THREADS = 4
_LEAST = 224  # pixels of detail that the JPEG decoder keeps


def thumbnails_of(
    names: Iterable[str], read: Read, progress: Callable[[int, int], None]
) -> Mapping[str, Thumbnail | None]:
    """Return a small picture by each name; None where there is none to be had.

    ``read`` is called from several threads.
    """
    wanted = list(dict.fromkeys(names))
    found: dict[str, Thumbnail | None] = {}
    small = partial(_small, read=read)
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        for name, picture in zip(wanted, pool.map(small, wanted), strict=True):
            found[name] = picture
            progress(len(found), len(wanted))
    return found


def _small(name: str, *, read: Read) -> Thumbnail | None:
    try:
        with reasons_for_failure():
            content = read(name)
            if content is None:
                return None
            return thumbnail(decode_whole(content, least=_LEAST).image)
    except Unusable:
        return None
