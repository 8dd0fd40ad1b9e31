"""Adapters: only the tensors a plan changed, and one base for many of them.

``adapter.py`` makes one and puts it back, ``store.py`` keeps it on disk, ``bank.py`` holds several
on one base, ``fold.py`` writes sources from them, ``slide.py`` draws the way between them, and
``sizes.py`` and ``listing.py`` say how large they are and where.
"""

from graftgan.adapters.adapter import Adapter, AdapterNote, adapter_of, changed_tensors, put_on
from graftgan.adapters.bank import AdapterBank, Weights, open_bank, with_adapter
from graftgan.adapters.fold import fold_adapter, mix_adapters, mixed_model
from graftgan.adapters.listing import ListedAdapter, list_adapters
from graftgan.adapters.sizes import AdapterSize, adapter_size
from graftgan.adapters.slide import between, slide
from graftgan.adapters.store import (
    FILE_NAME,
    adapter_files,
    load_adapter,
    save_adapter,
    save_adapter_of_run,
)

__all__ = [
    "FILE_NAME",
    "Adapter",
    "AdapterBank",
    "AdapterNote",
    "AdapterSize",
    "ListedAdapter",
    "Weights",
    "adapter_files",
    "adapter_of",
    "adapter_size",
    "between",
    "changed_tensors",
    "fold_adapter",
    "list_adapters",
    "load_adapter",
    "mix_adapters",
    "mixed_model",
    "open_bank",
    "put_on",
    "save_adapter",
    "save_adapter_of_run",
    "slide",
    "with_adapter",
]
