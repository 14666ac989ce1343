"""Merging the scores of two processes over gloo."""

import json
import os
import tempfile
from pathlib import Path
from unittest.mock import patch

import torch
import torch.distributed as dist
from mmengine.dist import all_reduce

from bls_mm.scores.merge import merge_scores
from tools.dev.benchmarks.common import make_scores, ratio, take_turns
from tools.dev.benchmarks.reference import reference_merge

# The largest size at which the reference is measured too.
REFERENCE_LIMIT = 2e7


def measure_merge(task):
    """Time of a merge, and the bytes that are handed over for it."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(merge_rank, (task, folder), nprocs=2)
        return json.loads(Path(folder, 'result.json').read_text())


def merge_rank(rank, task, folder):
    """One of two processes; the first one reports."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/rendezvous',
        rank=rank,
        world_size=2,
    )
    size = task['size']
    scores = make_scores(size, 'cpu')
    seen = (torch.arange(size) % 2 == rank).byte()
    handed = bytes_handed_over(scores.clone(), seen.clone())
    functions = dict(merge=lambda: merge_scores(scores, seen))
    if size <= REFERENCE_LIMIT:
        functions['plain'] = lambda: reference_merge(scores, seen)
    # The ranks have to agree on how often, so no patience.
    seconds = take_turns(functions, 'cpu', task['repeats'], float('inf'))
    result = dict(
        size=size,
        merge_s=seconds['merge'],
        reference_s=seconds.get('plain'),
        ratio=ratio(seconds.get('plain'), seconds['merge']),
        bytes_per_sample=handed / size,
    )
    if rank == 0:
        Path(folder, 'result.json').write_text(json.dumps(result))
    dist.destroy_process_group()


def bytes_handed_over(scores, seen):
    """Bytes that a merge gives to collectives."""
    handed = []

    def counted(tensor, *args, **kwargs):
        handed.append(tensor.numel() * tensor.element_size())
        return all_reduce(tensor, *args, **kwargs)

    with patch('bls_mm.scores.merge.all_reduce', counted):
        merge_scores(scores, seen)
    return sum(handed)
