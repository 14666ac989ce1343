"""The memory of a process, which imports this."""

import torch

from tools.dev.benchmarks.common import Memory


def memory_of_a_block():
    """Bytes with a block of 40 MB, at the peak, and without it."""
    memory = Memory('cpu')
    memory.forget_peak()
    block = torch.ones(10_000_000)  # 40 MB
    held = memory.steady()
    block = block.double()
    peak = memory.peak()
    del block
    memory.forget_peak()
    return held, peak, memory.peak()
