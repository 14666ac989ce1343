"""Asking a sampler of a distributed run for the order of all ranks together.

Samplers shard by themselves: they ask for rank and world size when they are
built, when they are iterated over or for their length, through MMEngine,
through torch or in the environment. Meanwhile each of them is told that there
is one rank, and finds the same random numbers on all ranks.
"""

import os
import random  # noqa: TID251  left as it was
import sys
from contextlib import ExitStack, contextmanager
from typing import Any, Iterator, Tuple
from unittest.mock import patch

import mmengine.dist
import numpy as np
import torch
from torch.distributed import distributed_c10d

# MMEngine's functions ask torch's.
_ANSWERS = dict(
    get_rank=0, get_world_size=1, get_dist_info=(0, 1), get_local_rank=0
)
_ENVIRONMENT = dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0')


@contextmanager
def one_rank(sampler_type: Any, seed: int) -> Iterator[None]:
    """Let a sampler work as if it were alone.

    Args:
        sampler_type (type or callable): Its class, or what builds it.
        seed (int): Seed of the random numbers that it draws from the global
            generators of Python, NumPy and torch. They are left as they were.
    """
    found = {
        name: value
        for name, value in _ENVIRONMENT.items()
        if name in os.environ
    }
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, found))
        for module, name, answer in _questions(sampler_type):
            stack.enter_context(patch.object(module, name, _always(answer)))
        stack.enter_context(_seeded(seed))
        yield


def _questions(sampler_type: Any) -> Iterator[Tuple[Any, str, Any]]:
    """Where functions that tell rank or world size are within reach."""
    homes = (torch.distributed, distributed_c10d, mmengine.dist)
    answers = {
        id(vars(home)[name]): answer
        for home in homes
        for name, answer in _ANSWERS.items()
        if name in vars(home)
    }
    classes = getattr(sampler_type, '__mro__', (sampler_type,))
    names = {cls.__module__ for cls in classes}
    modules = [sys.modules[name] for name in sorted(names)]
    for module in (*homes[:2], *modules):
        for name, value in list(vars(module).items()):
            # A module that has imported one holds it, by any name.
            answer = answers.get(id(value), _ANSWERS.get(name))
            if answer is not None and callable(value):
                yield module, name, answer


def _always(answer: Any) -> Any:
    return lambda *args, **kwargs: answer


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # Samplers draw from the global generators, so they have to be set.
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    generator = torch.default_generator.get_state()
    try:
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002, TID251
        # Not `torch.manual_seed`, which also seeds the GPU.
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        torch.default_generator.set_state(generator)
