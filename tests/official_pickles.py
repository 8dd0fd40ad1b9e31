"""Write pickles as the official StyleGAN programs do, with code that would show that it was run."""

import os
import pickle
import re
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

MODULE_TEXT = "import os\nos.system('touch was_run')\n" * 50


class EasyDict(dict[str, Any]):
    """Theirs: a dictionary."""


class Stored:
    """What their networks reduce to."""

    def __init__(self, class_name: str, state: Mapping[str, Any]) -> None:
        self.meta = EasyDict(
            type="class", version=6, module_src=MODULE_TEXT, class_name=class_name, state=state
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _reconstruct_persistent_obj, (self.meta,), None


def _reconstruct_persistent_obj(meta: object) -> None:
    del meta
    Path(os.environ["GRAFTGAN_SENTINEL"]).touch()
    raise AssertionError("the file was run")


def stored(
    tensors: Mapping[str, Tensor],
    class_name: str = "Generator",
    *,
    kept: Mapping[str, Mapping[str, Any]] | None = None,
    place: str = "",
    **settings: Any,
) -> Stored:
    """Return a network with ``tensors`` by full names, as a tree of stored modules.

    Names whose last part begins with "frozen_" lose that and are stored as buffers, which is what
    training with frozen layers leaves. ``kept`` is what modules keep beside tensors, by full names.
    ``place`` is the full name of the network itself, within another.
    """
    kept = {} if kept is None else kept
    parts: dict[str, dict[str, Tensor]] = {}
    inner_kept: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, attributes in kept.items():
        head, _, rest = name.partition(".")
        if head:
            inner_kept.setdefault(head, {})[rest] = attributes
            parts.setdefault(head, {})
    state: dict[str, Any] = {
        "training": False,
        "_parameters": OrderedDict(),
        "_buffers": OrderedDict(),
        "_non_persistent_buffers_set": set(),
        "_modules": OrderedDict(),
        "_init_args": (),
        "_init_kwargs": EasyDict(settings),
        "_forward_hooks": OrderedDict(),
        "_is_full_backward_hook": None,
        **kept.get("", {}),
    }
    for name, tensor in tensors.items():
        head, dot, rest = name.partition(".")
        if dot:
            parts.setdefault(head, {})[rest] = tensor
        elif head.startswith("frozen_") or not tensor.is_floating_point():
            state["_buffers"][head.removeprefix("frozen_")] = tensor
        else:
            state["_parameters"][head] = nn.Parameter(tensor)
    for head, inner in parts.items():
        full = f"{place}.{head}".removeprefix(".")
        kept_within = inner_kept.get(head, {})
        state["_modules"][head] = stored(inner, class_of(full), kept=kept_within, place=full)
    return Stored(class_name, state)


_CLASSES = {
    r"mapping": "MappingNetwork",
    r"synthesis": "SynthesisNetwork",
    r"synthesis\.b\d+": "SynthesisBlock",
    r"synthesis\.input": "SynthesisInput",
    r"synthesis\.(b\d+\.conv[01]|L\w+)": "SynthesisLayer",
    r".*\.torgb": "ToRGBLayer",
    r"b4": "DiscriminatorEpilogue",
    r"b\d+": "DiscriminatorBlock",
    r"b4\.mbstd": "MinibatchStdLayer",
    r"b\d+\.(fromrgb|conv[01]?|skip)": "Conv2dLayer",
    r".*\.(fc\d*|embed|affine|out)": "FullyConnectedLayer",
}


def class_of(name: str) -> str:
    """Return the class of the layer of that full name, as the official programs call it."""
    return next((kind for form, kind in _CLASSES.items() if re.fullmatch(form, name)), "Layer")


@contextmanager
def their_modules() -> Iterator[None]:
    """Have their modules importable while a pickle is written."""
    names = {
        "torch_utils": ModuleType("torch_utils"),
        "torch_utils.persistence": ModuleType("torch_utils.persistence"),
        "dnnlib": ModuleType("dnnlib"),
        "dnnlib.util": ModuleType("dnnlib.util"),
    }
    for thing, module in (
        (_reconstruct_persistent_obj, "torch_utils.persistence"),
        (EasyDict, "dnnlib.util"),
    ):
        thing.__module__ = module
        setattr(names[module], thing.__name__, thing)
    sys.modules.update(names)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def write_official(path: Path, networks: Mapping[str, Any], *, protocol: int = 4) -> Path:
    """Write the dictionary of a snapshot."""
    content = {"training_set_kwargs": EasyDict(path="x.zip"), "augment_pipe": None, **networks}
    with their_modules():
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path
