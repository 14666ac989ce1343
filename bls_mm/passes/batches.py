"""The batches that passes are made of."""

from typing import Callable, Optional, Tuple

from bls_mm.samplers.bls_sampler import BLSSampler

from .last_batch import drop_small_last


class Batches:
    """What a DataLoader makes of the indices of a pass.

    Args:
        sampler (BLSSampler): Its sampler.
        num_batches (callable): Number of batches that it makes of what the
            sampler yields.
        batch_size (int, optional): The most samples in a batch, if known.
        stream (bool): Whether passes form a stream of full batches, see
            :meth:`BLSSampler.attach`.

    Attributes:
        sampler (BLSSampler): See above.
        count (callable): ``num_batches``.
        batch_size (int, optional): See above.
        samples_per_pass (int): Samples that an unpruned pass visits.
    """

    def __init__(
        self,
        sampler: BLSSampler,
        num_batches: Callable[[], int],
        batch_size: Optional[int],
        stream: bool,
    ) -> None:
        self.sampler = sampler
        self.count = num_batches
        self.batch_size = batch_size
        self.stream = stream
        self.attach()
        self.sizes = sampler.sizes
        self.samples_per_pass = sampler.full_size
        if not stream or batch_size is None:
            self.samples_per_pass = self.samples_in(num_batches())

    def attach(self) -> None:
        """Let the sampler make such passes, as if it had made none yet."""
        self.sampler.attach(self.batch_size if self.stream else None)

    def are_of(self, sampler: BLSSampler, batch_size: Optional[int]) -> bool:
        """Whether passes of a sampler have these lengths.

        Args:
            sampler (BLSSampler): The sampler, as it is now.
            batch_size (int, optional): Its batch size.
        """
        return (self.sizes, self.batch_size) == (sampler.sizes, batch_size)

    def pass_length(self) -> Tuple[int, int]:
        """Iterations of an unpruned pass, as a fraction.

        Raises:
            ValueError: If there are none.
        """
        if self.stream and self.batch_size is not None:
            full = self.batch_size * self.sampler.world_size
            return self.sampler.full_size, full
        batches = self.count()
        if not batches:
            raise ValueError(
                '`train_dataloader` yields no batch: its dataset of '
                f'{len(self.sampler.dataset)} samples is smaller than a '
                'batch, and `drop_last` is set.'
            )
        return batches, 1

    def without_small_last(self, selected: int) -> int:
        """See :func:`drop_small_last`.

        Args:
            selected (int): Samples selected for a pass, all ranks together.
        """
        whole = self.sampler.full_size
        drops_last = self.samples_per_pass < whole
        if self.stream or drops_last or self.batch_size is None:
            return selected
        world_size = self.sampler.world_size
        return drop_small_last(selected, whole, self.batch_size, world_size)

    def samples_in(self, batches: int) -> int:
        """Samples in the first batches of the current pass, of all ranks.

        Args:
            batches (int): Number of batches of a rank.
        """
        size = self.sampler.total_size
        if self.batch_size is None:
            return round(size * batches / max(1, self.count()))
        # All but the last of a pass are full.
        return min(size, batches * self.batch_size * self.sampler.world_size)
