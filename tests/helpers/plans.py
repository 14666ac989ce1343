"""Plans of runs, without a runner."""

from torch.utils.data import BatchSampler

from bls_mm import BLSSampler
from bls_mm.passes.planner import PassPlanner

RANDOM = dict(type='RandomPrune', prune_ratio=0.5)


def make_planner(
    size=40, batch=4, steps=80, stream=False, pruner=RANDOM, **settings
):
    inner = settings.get('inner')
    sampler = BLSSampler(range(size), pruner=pruner, seed=0, inner=inner)
    batches = BatchSampler(sampler, batch, settings.get('drop_last', False))
    planner = PassPlanner(sampler, batches.__len__, steps, batch, stream)
    return planner, batches
