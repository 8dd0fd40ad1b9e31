"""Where a run computes: the device, the number format, and the processes that train one model.

Processes are those of torch.distributed under ``torchrun``. Gradients are averaged by one flat
all-reduce after each backward pass. DistributedDataParallel does not fit: a discriminator runs
forward two or three times before one backward, its gradient penalty differentiates twice (which
that wrapper does not support), and a plan leaves most layers without gradients.
"""

import ctypes
import os
import platform
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from graftgan.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Hardware:
    """A device, and whether convolutions and matrix products run in bfloat16 autocast on it."""

    device: torch.device
    bfloat16: bool

    def autocast(self) -> AbstractContextManager[object]:
        """Return the autocast context of this hardware; an empty one in float32."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bfloat16 else nullcontext()

    @property
    def memory_format(self) -> torch.memory_format:
        """Channels last, for the fast kernels of CPU and CUDA; unchanged on MPS."""
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

    CUDA without a number is the device of this process. Raises SettingsError where the device is
    not on this machine.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    there = {"cuda": cuda, "mps": mps, "cpu": True}
    name = next(kind for kind in there if there[kind]) if device == "auto" else device
    try:
        place = torch.device(name)
    except RuntimeError:
        place = None
    if place is None or place.type not in there:
        raise SettingsError(f"no device '{name}'; choose auto, cpu, cuda, cuda:N or mps")
    if not there[place.type]:
        kind = place.type.upper()
        raise SettingsError(f"this machine or this build of torch has no {kind}; use --device cpu")
    if place.type == "cuda":
        found = torch.cuda.device_count()
        if place.index is None:  # pyright: ignore[reportUnnecessaryComparison]
            place = torch.device("cuda", rank % found)
        if place.index >= found:
            raise SettingsError(
                f"there is no cuda:{place.index}: this machine has {found} CUDA devices"
            )
    fast = precision == "bfloat16" or (precision == "auto" and _computes_bfloat16(place))
    return Hardware(place, fast)


def keep_freed_memory() -> None:
    """Let the C library keep the memory that an iteration frees, for the next iteration.

    Returning it to the system costs a CPU run about seven per cent. Only glibc has this switch;
    elsewhere nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mmap_threshold, trim_threshold = -3, -1
        mallopt(mmap_threshold, 2**25)  # 32 MiB, glibc's maximum
        mallopt(trim_threshold, 2**31 - 1)


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    try:  # ask for AVX512-BF16 or AMX; machines without them emulate bfloat16 slowly
        with open("/proc/cpuinfo", encoding="utf-8") as handle:  # noqa: PTH123 - a device file
            flags = next((line for line in handle if line.startswith("flags")), "")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


@dataclass(frozen=True, slots=True)
class Processes:
    """The rank of this process and the number of processes; only rank 0 writes files."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and draws the progress bar."""
        return self.rank == 0

    @torch.no_grad()
    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes."""
        self._average([p.grad for p in parameters if p.grad is not None])

    @torch.no_grad()
    def average_buffers(self, module: nn.Module) -> None:
        """Replace floating-point buffers, such as running statistics, by their means.

        In float64 the mean of equal float32 numbers is exactly that number: the buffers of frozen
        layers do not change.
        """
        self._average([b for b in module.buffers() if b.is_floating_point()], torch.float64)

    @torch.no_grad()
    def share(self, module: nn.Module) -> None:
        """Copy the parameters and buffers of process 0 to every process."""
        self.share_tensors(module.state_dict().values())

    def share_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Copy the values of process 0 to every process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def agree(self, flag: bool, device: torch.device) -> bool:
        """Return whether ``flag`` is set in any process."""
        if self.count == 1:
            return flag
        votes = torch.tensor(int(flag), device=device)
        dist.all_reduce(votes)
        return bool(votes.item())

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            dist.barrier()

    def _average(self, tensors: list[Tensor], dtype: torch.dtype | None = None) -> None:
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors]).to(dtype or tensors[0].dtype)
        dist.all_reduce(flat)
        flat /= self.count
        sizes = [t.numel() for t in tensors]
        for tensor, part in zip(tensors, flat.split(sizes), strict=True):
            tensor.copy_(part.view_as(tensor))


@contextmanager
def joined_processes(device_type: str) -> Generator[Processes]:
    """Join the processes that ``torchrun`` started, if any."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    if device_type == "cuda":  # as `choose_hardware` numbers them; NCCL wants to know at once
        torch.cuda.set_device(int(os.environ["RANK"]) % torch.cuda.device_count())
    dist.init_process_group("nccl" if device_type == "cuda" else "gloo")
    try:
        yield Processes(rank=dist.get_rank(), count=count)
    finally:
        dist.destroy_process_group()
