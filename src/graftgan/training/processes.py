"""Several processes that train one model: torch.distributed under ``torchrun``.

Gradients are averaged by one flat all-reduce after each backward pass, not by the
DistributedDataParallel wrapper: a GAN's discriminator runs forward two or three times before one
backward, its gradient penalty differentiates twice (which that wrapper does not support), and a
plan leaves most layers without gradients.
"""

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among its equals.

    Attributes:
        rank: Number of this process; 0 alone writes files.
        count: How many train together.
    """

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

        In float64, where the mean of equal float32 numbers is that number for any count: a frozen
        layer's buffers stay bit-equal.
        """
        self._average([b for b in module.buffers() if b.is_floating_point()], torch.float64)

    @torch.no_grad()
    def share(self, module: nn.Module) -> None:
        """Give every process the parameters and buffers of process 0."""
        self.share_tensors(module.state_dict().values())

    def share_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the numbers of process 0."""
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
    """Join the processes that ``torchrun`` started; alone without it."""
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
