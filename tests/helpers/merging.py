"""What ranks do to test a merge: each a process, which imports this."""

import warnings

import torch
import torch.distributed as dist

from bls_mm.scores.merge import merge_scores

WORLD_SIZES = (3, 2)
SIZE = 1000
# Ids above this are not all representable in float32.
LARGE = 2**24 + 8


def random_case(rank):
    """Scores and seen samples of a rank; unseen scores were merged before."""
    generator = torch.Generator().manual_seed(100)
    common = torch.randn(SIZE, generator=generator)
    generator.manual_seed(rank)
    scores = torch.randn(SIZE, generator=generator)
    seen = torch.rand(SIZE, generator=generator) < 0.5
    seen[:3] = False
    return torch.where(seen, scores, common), seen.byte()


def large_case(rank):
    """The last samples are seen, one by each rank."""
    scores = torch.zeros(LARGE)
    seen = torch.zeros(LARGE, dtype=torch.uint8)
    scores[LARGE - 1 - rank] = 0.1 + rank
    seen[LARGE - 1 - rank] = 1
    return scores, seen


def nan_case(rank):
    """A rank holds nonsense for what another one has seen."""
    scores = torch.full((4,), float('nan'))
    scores[rank] = rank + 1
    seen = torch.zeros(4, dtype=torch.uint8)
    seen[rank] = 1
    return scores, seen


def work(rank, folder):
    """One process: in a group of three, then perhaps in one of two."""
    warnings.simplefilter('error')
    torch.set_num_threads(1)
    for world_size in WORLD_SIZES:
        if rank < world_size:
            dist.init_process_group(
                'gloo',
                init_method=f'file://{folder}/rendezvous{world_size}',
                rank=rank,
                world_size=world_size,
            )
            torch.save(merge_cases(rank), folder / f'{world_size}_{rank}.pth')
            dist.destroy_process_group()


def merge_cases(rank):
    results = {}
    for case in (random_case, large_case, nan_case):
        scores, seen = case(rank)
        addresses = scores.data_ptr(), seen.data_ptr()
        merge_scores(scores, seen)
        assert addresses == (scores.data_ptr(), seen.data_ptr())
        results[case.__name__] = scores, seen
    again = results['random_case'][0].clone()
    merge_scores(again, torch.zeros(SIZE, dtype=torch.uint8))
    results['again'] = again
    scores, seen = results['large_case']
    results['large_case'] = scores.nonzero(), scores[-8:].clone(), seen.any()
    return results
