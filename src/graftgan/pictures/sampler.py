"""Which pictures make up batch number n."""

import torch
from torch import Tensor

from graftgan.core.errors import SettingsError
from graftgan.core.randomness import Randomness


class EndlessSampler:
    """Endless shuffled epochs cut into full batches; a batch may span epochs.

    Every picture comes exactly once per epoch over all processes together. The answer depends on
    the arguments alone, so an exact resume has nothing to save.

    Args:
        count: How many pictures there are.
        batch_size: Pictures per batch over all processes together.
        seed: The seed of the run.
        rank: This process.
        processes: How many processes share each batch.

    Raises:
        SettingsError: A number is out of range or the batch does not divide by the processes.
    """

    def __init__(
        self, count: int, batch_size: int, *, seed: int, rank: int = 0, processes: int = 1
    ) -> None:
        if count < 1 or batch_size < 1:
            raise SettingsError(
                f"sampling needs at least 1 picture and a batch size of at least 1, "
                f"got {count} pictures and a batch size of {batch_size}"
            )
        if processes < 1 or not 0 <= rank < processes:
            raise SettingsError(f"there is no process {rank} among {processes} processes")
        if batch_size % processes:
            raise SettingsError(
                f"a batch of {batch_size} does not divide evenly among {processes} processes; "
                f"use a multiple of {processes}"
            )
        self.count = count
        self.share = batch_size // processes
        self._batch_size = batch_size
        self._offset = rank * self.share
        self._randomness = Randomness(seed)
        self._orders: dict[int, Tensor] = {}

    def indices(self, batch: int) -> Tensor:
        """Return this process's pictures of batch number ``batch``, int64 (share,)."""
        if batch < 0:
            raise SettingsError(f"batches count from 0, got {batch}")
        start = batch * self._batch_size + self._offset
        stop = start + self.share
        epochs = range(start // self.count, (stop - 1) // self.count + 1)
        self._orders = {epoch: self._order(epoch) for epoch in epochs}
        joined = torch.cat(list(self._orders.values()))
        first = start - epochs[0] * self.count
        return joined[first : first + self.share]

    def _order(self, epoch: int) -> Tensor:
        """Return the order of one epoch; the last batch's orders are kept to save time."""
        kept = self._orders.get(epoch)
        if kept is not None:
            return kept
        rng = self._randomness.generator("data/order", epoch)
        return torch.randperm(self.count, generator=rng)
