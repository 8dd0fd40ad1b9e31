"""Adapters: only the tensors a plan changed, and one base for many of them.

``adapter.py`` makes one and puts it back, ``store.py`` keeps it on disk, ``bank.py`` holds several
on one base, ``fold.py`` writes sources from them, ``slide.py`` draws the way between them, and
``sizes.py`` and ``listing.py`` say how large they are and where.
"""

from graftgan.models.adapters.adapter import (
    Adapter,
    AdapterNote,
    adapter_of,
    changed_tensors,
    put_on,
)
from graftgan.models.adapters.adapter_file import (
    FILE_NAME,
    adapter_files,
    load_adapter,
    save_adapter,
    save_adapter_of_run,
)
from graftgan.models.adapters.bank import AdapterBank, Weights, open_bank, with_adapter
from graftgan.models.adapters.folded import fold_adapter, mix_adapters, mixed_model
from graftgan.models.adapters.listing import ListedAdapter, list_adapters
from graftgan.models.adapters.sizes import AdapterSize, adapter_size
from graftgan.models.adapters.slide import between, slide

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
