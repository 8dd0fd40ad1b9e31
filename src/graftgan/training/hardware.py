"""Where a run computes, and in which number format."""

import ctypes
import os
import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from graftgan.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Hardware:
    """A device with the number format it computes in.

    Attributes:
        device: Where weights and pictures live.
        bfloat16: Whether convolutions and matrix products run in bfloat16 autocast.
    """

    device: torch.device
    bfloat16: bool

    def autocast(self) -> AbstractContextManager[object]:
        """Return the autocast context of this hardware; nothing in float32."""
        if not self.bfloat16:
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    @property
    def memory_format(self) -> torch.memory_format:
        """Channels last, which the fast kernels of CPU and CUDA want; as it is on MPS."""
        return torch.preserve_format if self.device.type == "mps" else torch.channels_last

    def place(self, module: nn.Module) -> None:
        """Move ``module`` to the device, in the device's memory format."""
        module.to(self.device)
        if self.memory_format is torch.channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def describe(self) -> str:
        """Return the device's name and number format in words."""
        kind = self.device.type
        name = torch.cuda.get_device_name(self.device) if kind == "cuda" else platform.processor()
        form = "bfloat16 autocast" if self.bfloat16 else "float32"
        return f"{kind} {name or platform.machine()}, {torch.get_num_threads()} threads, {form}"


def choose_hardware(device: str = "auto", precision: str = "auto", *, rank: int = 0) -> Hardware:
    """Return the hardware for ``device`` (auto, cpu, cuda, cuda:N or mps) and ``precision``.

    Raises:
        SettingsError: The device is not on this machine.
    """
    name = _best_device() if device == "auto" else device
    try:
        place = torch.device(name)
    except RuntimeError:
        raise SettingsError(f"no device '{name}'; choose auto, cpu, cuda, cuda:N or mps") from None
    if place.type not in {"cpu", "cuda", "mps"}:
        raise SettingsError(f"no device '{name}'; choose auto, cpu, cuda, cuda:N or mps")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError("this machine or this build of torch has no CUDA; use --device cpu")
    if place.type == "mps" and not torch.backends.mps.is_available():
        raise SettingsError("this machine or this build of torch has no MPS; use --device cpu")
    if place.type == "cuda":
        place = _numbered(place, rank)
    fast = precision == "bfloat16" or (precision == "auto" and _computes_bfloat16(place))
    return Hardware(place, fast)


def _numbered(device: torch.device, rank: int) -> torch.device:
    """Return the CUDA device with its number: the one asked for, or that of this process."""
    found = torch.cuda.device_count()
    index = device.index
    if index is None:  # pyright: ignore[reportUnnecessaryComparison]
        return torch.device("cuda", rank % found)
    if index >= found:
        raise SettingsError(f"there is no cuda:{index}: this machine has {found} CUDA devices")
    return device


def keep_freed_memory() -> None:
    """Let the C library keep what an iteration frees, for the next one asks for the same again.

    Returning it to the system and faulting it in anew costs a CPU run about seven per cent. Only
    glibc has this switch; elsewhere nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mmap_threshold, trim_threshold = -3, -1
        mallopt(mmap_threshold, 2**25)  # 32 MiB, the most glibc takes
        mallopt(trim_threshold, 2**31 - 1)


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return _cpu_computes_bfloat16()
    return False


def _cpu_computes_bfloat16() -> bool:
    """Ask for AVX512-BF16 or AMX; AVX2-only machines emulate bfloat16 slowly."""
    capability = torch.backends.cpu.get_cpu_capability()
    mkldnn = torch.ops.mkldnn
    return capability == "AVX512" and bool(mkldnn._is_mkldnn_bf16_supported()) and _has_bf16_flag()


def _has_bf16_flag() -> bool:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as handle:  # noqa: PTH123 - a device file
            flags = next((line for line in handle if line.startswith("flags")), "")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
