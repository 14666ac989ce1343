"""The plan of a training: passes, visits, iterations and saving."""

import os
from typing import Any, Iterator, NamedTuple, Optional, Tuple

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import BatchSampler, DataLoader

from bls_mm.config.pruning import has_pruning, read_pruner
from bls_mm.passes.budget import Budget
from bls_mm.passes.forecast import (
    Forecast,
    describe_passes,
    describe_pruner,
    forecast,
)
from bls_mm.pruners import Pruner
from bls_mm.samplers.batch_lookup import find_sampler
from bls_mm.samplers.bls_sampler import BLSSampler

from .events import count_checkpoints, count_validations

# Where each launcher says how many processes it started.
RANKS = dict(
    pytorch='WORLD_SIZE', slurm='SLURM_NTASKS', mpi='OMPI_COMM_WORLD_SIZE'
)


class Plan(NamedTuple):
    """What a training would do.

    Attributes:
        pruner (Pruner, optional): The rule; None if nothing is pruned.
        by_epoch (bool): Whether the run is counted in epochs.
        expected (Forecast, optional): Passes, visits and iterations; None if
            they depend on data that cannot be read.
        samples (int, optional): Indices of a whole pass; None if the data
            cannot be read, when visits and iterations mean nothing.
        batch_size (int, optional): Samples in a batch of one rank, if known.
        ranks (int): Number of processes.
        validations (int, optional): How often it validates, if known.
        checkpoints (int, optional): How many it saves, if known, besides the
            best one.
        problem (str): Why the data cannot be read; empty if they can.
    """

    pruner: Optional[Pruner]
    by_epoch: bool
    expected: Optional[Forecast]
    samples: Optional[int]
    batch_size: Optional[int]
    ranks: int
    validations: Optional[int]
    checkpoints: Optional[int]
    problem: str = ''


def make_plan(cfg: Config) -> Plan:
    """Work out what a training would do.

    Builds the training dataset and its sampler, nothing else, and writes
    nothing. Where the data cannot be read, numbers that need them are left
    out. The default scope becomes that of the config.

    Args:
        cfg (Config): What :func:`bls_mm.runner.build.make_config` returned.

    Returns:
        Plan: The plan.

    Raises:
        TypeError: If a setting is of the wrong type.
        ValueError: If the config has no training data or loop, or a setting
            is out of range.
    """
    for name in ('train_dataloader', 'train_cfg'):
        if not cfg.get(name):
            raise ValueError(f'The config has no `{name}`: nothing to train.')
    by_epoch = 'max_epochs' in cfg.train_cfg
    ranks = int(os.environ.get(RANKS.get(cfg.get('launcher'), ''), 1))
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    problem, samples, batch_size = '', None, None
    expected: Optional[Forecast] = None
    try:
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    except (ImportError, OSError) as error:
        problem = f'{type(error).__name__}: {error}'
        pruner = read_pruner(cfg)
        if by_epoch:  # of data of any size
            budget = Budget(cfg.train_cfg.max_epochs, 1)
            expected = forecast(budget, pruner, 10**6)
    else:
        if has_pruning(cfg):
            find_sampler(loader)
        budget, samples, batch_size, pruner = _measure(cfg, loader, ranks)
        expected = forecast(budget, pruner, samples, batch_size, ranks)
    iterations = None
    if expected is not None and not problem:
        iterations = expected.iterations
    return Plan(
        pruner=pruner,
        by_epoch=by_epoch,
        expected=expected,
        samples=samples,
        batch_size=batch_size,
        ranks=ranks,
        validations=count_validations(cfg, iterations),
        checkpoints=count_checkpoints(cfg, iterations),
        problem=problem,
    )


def _measure(
    cfg: Config, loader: DataLoader, ranks: int
) -> Tuple[Budget, int, Optional[int], Optional[Pruner]]:
    """Budget, indices of a pass, batch size and pruner of a training."""
    batch_sampler: Any = loader.batch_sampler
    sampler = getattr(batch_sampler, 'sampler', loader.sampler)
    batch_size = getattr(batch_sampler, 'batch_size', None)
    if type(batch_size) is not int:
        batch_size = None
    pruner = getattr(sampler, 'pruner', None)
    by_epoch = 'max_epochs' in cfg.train_cfg
    # As the hook does: only plain batches form a stream without seams.
    stream = type(batch_sampler) is BatchSampler and not by_epoch
    samples = len(loader.dataset)  # type: ignore[arg-type]
    if isinstance(sampler, BLSSampler):
        sampler.attach(batch_size if stream else None)
        samples = sampler.full_size
    if stream and batch_size is not None:
        steps = cfg.train_cfg.max_iters
        budget = Budget(steps, samples, batch_size * ranks)
    else:
        a_pass = -(-len(batch_sampler) // ranks)
        steps = a_pass * cfg.train_cfg.get('max_epochs', 0)
        budget = Budget(steps or cfg.train_cfg.max_iters, a_pass)
    return budget, samples, batch_size, pruner


def format_plan(plan: Plan) -> str:
    """The plan as a table.

    Args:
        plan (Plan): What :func:`make_plan` returned.

    Returns:
        str: A line for each of its parts.
    """
    return '\n'.join(f'{name:12} {value}' for name, value in _rows(plan))


def _rows(plan: Plan) -> Iterator[Tuple[str, str]]:
    expected = plan.expected
    about = 'about ' if expected and expected.assumption else ''
    yield 'pruner', describe_pruner(plan.pruner)
    if expected is not None:
        unit = 'epoch' if plan.by_epoch else 'pass'
        yield 'passes', f'{expected.passes}'
        if plan.pruner is not None:
            yield 'pruned', describe_passes(expected, unit)
            yield 'saving', f'{about}{expected.saving:.1%} of the visits'
    if expected is not None and plan.samples is not None:
        visits = f'{about}{expected.visits:,}'
        iterations = f'{about}{expected.iterations:,}'
        if plan.pruner is not None:
            visits += f' instead of {expected.full_visits:,}'
            iterations += f' instead of {expected.full_iterations:,}'
        yield 'data', _describe_data(plan)
        yield 'visits', visits
        yield 'iterations', iterations
    for name in ('validations', 'checkpoints'):
        number = getattr(plan, name)
        if number is not None:
            yield name, f'{number:,}'
    if expected is not None and expected.assumption:
        yield 'assumed', expected.assumption
    if plan.problem:
        yield 'unknown', f'what depends on the data: {plan.problem}'


def _describe_data(plan: Plan) -> str:
    text = f'{plan.samples:,} samples'
    if plan.batch_size is not None:
        text += f' in batches of {plan.batch_size}'
    return text + (f' on {plan.ranks} ranks' if plan.ranks > 1 else '')
