"""Samplers that shard by themselves, and what a rank gets of them."""

import os

import mmengine.dist
import numpy as np
import torch
import torch.distributed as dist
from mmengine.dist import get_dist_info, get_rank, sync_random_seed
from ranks import join, leave
from torch.distributed import get_world_size
from torch.utils.data import DistributedSampler, Sampler
from toy import ToyDataset

from bls_mm import BLSSampler

SIZE = 12


class Sharding(DistributedSampler):
    """As torch's, whose defaults ask for rank and number of ranks."""

    def __init__(self, dataset, seed=0):
        super().__init__(dataset, seed=seed)


class Sharded(Sampler):
    """A share of the indices, by whatever ``shard`` says."""

    def __init__(self, dataset, seed=None, number=0):
        self.size, self.seed, self.epoch = len(dataset), seed, 0
        self.shard = SHARDS[number]

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        rank, world_size = self.shard()
        return len(range(rank, self.size, world_size))

    def __iter__(self):
        rank, world_size = self.shard()
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(self.size, generator=generator)
        return iter(order[rank::world_size])


SHARDS = [
    get_dist_info,
    mmengine.dist.get_dist_info,
    lambda: (get_rank(), mmengine.dist.get_world_size()),
    lambda: (dist.get_rank(), get_world_size()),
    lambda: (
        torch.distributed.distributed_c10d.get_rank(),
        dist.get_world_size() if dist.is_initialized() else 1,
    ),
    lambda: (int(os.environ['RANK']), int(os.environ['WORLD_SIZE'])),
]


class OwnSeed(Sharded):
    """Asks for a seed of its own, and for the rank when it is built."""

    def __init__(self, dataset, seed=None):
        super().__init__(dataset, sync_random_seed())
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()

    def shard(self):
        return self.rank, self.world_size


class Unpredictable(Sampler):
    """Yields what depends on the process."""

    def __init__(self, dataset, seed=0):
        self.size = len(dataset)

    def __len__(self):
        return self.size

    def __iter__(self):
        generator = np.random.default_rng(os.getpid())
        return iter(generator.permutation(self.size))


class OtherItems(Unpredictable):
    """As many items on each rank, numbered alike, but others."""

    def __iter__(self):
        yield from ((i, os.getpid()) for i in range(self.size))


CASES = {
    **{f'shard {i}': dict(type=Sharded, number=i) for i in range(len(SHARDS))},
    'torch': dict(type=Sharding),
    'seed of its own': dict(type=OwnSeed),
    'no seed': dict(type=Sharded, number=0, seed=None),
}
REFUSED = dict(order=Unpredictable, items=OtherItems)


def draw(rank, world_size, folder, changes):
    """One rank: draw two passes of each sampler."""
    join(rank, world_size, folder)
    drawn = {}
    for name, cfg in CASES.items():
        sampler = BLSSampler(ToyDataset(SIZE), inner=cfg, seed=3)
        sampler.attach()
        passes = []
        for epoch in range(2):
            sampler.begin_pass(epoch)
            passes.append((list(sampler), len(sampler)))
        drawn[name] = passes
    for name, kind in REFUSED.items():
        sampler = BLSSampler(ToyDataset(SIZE), inner=dict(type=kind), seed=3)
        sampler.attach()
        try:
            sampler.begin_pass(0)
        except RuntimeError as error:
            drawn[name] = str(error)
    drawn['rank'] = get_dist_info(), dist.get_rank(), os.environ['RANK']
    torch.save(drawn, folder / f'{rank}.pth')
    leave()
