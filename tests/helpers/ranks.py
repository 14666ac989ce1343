"""Toy trainings on several ranks, each a process of its own."""

import faulthandler
import multiprocessing
import os
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.runner import FlexibleRunner
from toy import hook_of, make_config, make_runner

from bls_mm.scores.buffer import ScoreBuffer
from bls_mm.trusted import trust_mmengine_classes

RENDEZVOUS = 'rendezvous'
WRAPPER = dict(type='MMDistributedDataParallel', device_ids=None)
# Ranks are forked from a process that has imported what takes seconds. It has
# no threads yet, and may not have looked for a GPU, as MMEngine does.
multiprocessing.set_forkserver_preload(
    ['mmengine.runner', 'torch.distributed.fsdp', 'torch._dynamo']
)


def start_ranks(world_size, target, *args):
    """Call a function with the rank and these arguments on all ranks."""
    method = 'spawn' if torch.cuda.is_available() else 'forkserver'
    mp.start_processes(target, args, world_size, start_method=method)
    for arg in args:
        if isinstance(arg, Path):  # the folder of the next ranks, perhaps
            (arg / RENDEZVOUS).unlink(missing_ok=True)


def work(rank, world_size, folder, changes):
    """One rank: train, and store what it saw and knows."""
    join(rank, world_size, folder)
    runner = make_runner(
        folder / 'work',
        launcher='pytorch',
        cfg=dict(model_wrapper_cfg=WRAPPER),
        **changes,
    )
    counts = count_collectives(runner)
    runner.train()
    weights = [p.detach() for p in runner.model.parameters()]
    result = dict(result_of(runner), merges=counts, weights=weights)
    torch.save(result, folder / f'{rank}.pth')
    leave()


def work_sharded(rank, world_size, folder, changes):
    """One rank of FSDP: train, and store what it saw and saved.

    MMEngine cannot resume its optimizer: it calls torch as torch once was.
    """
    backend = changes.pop('backend')
    join(rank, world_size, folder, backend)
    # On the CPU torch crashes where it gathers the parameters of all ranks.
    wrapper, kind = dict(device_id=torch.device('cpu')), 'local'
    if backend == 'nccl':
        torch.cuda.set_device(rank)
        wrapper, kind = dict(), 'full'
    runner = FlexibleRunner(
        **make_config(folder / 'work', **changes),
        launcher='pytorch',
        strategy=dict(
            type='FSDPStrategy', state_dict_cfg=kind, model_wrapper=wrapper
        ),
        experiment_name='sharded',
        env_cfg=dict(),
    )
    runner.train()
    path = folder / 'work' / 'iter_7.pth'
    if path.is_dir():
        path = path / f'rank{rank}.pth'
    saved = torch.load(path, map_location='cpu', weights_only=False)['bls']
    torch.save(dict(result_of(runner), saved=saved), folder / f'{rank}.pth')
    leave()


def join(rank, world_size, folder, backend='gloo'):
    """Start the process group, with the settings of conftest.py."""
    faulthandler.enable()
    torch.set_num_threads(1)
    trust_mmengine_classes()
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world_size)
    )
    # MMEngine's own start of a process group asks for a GPU.
    dist.init_process_group(
        backend,
        init_method=f'file://{folder}/{RENDEZVOUS}',
        rank=rank,
        world_size=world_size,
    )


def leave():
    """End the process, whose work is done."""
    # Threads of torch, once in some hundred times, abort a usual exit, and
    # hang one that destroys the process group.
    os._exit(0)


def result_of(runner):
    recorder = hook_of(runner, 'Recorder')
    return dict(
        scores=hook_of(runner).scores.cpu(),
        numbers=recorder.numbers,
        losses=recorder.losses,
        epochs=recorder.epochs,
        iters=(runner.iter, runner.max_iters),
        visited=hook_of(runner).visited,
    )


def count_collectives(runner):
    """Note the iteration of each merge of the hook."""
    merges, merge = [], ScoreBuffer.merge

    def noted(buffer):
        merges.append(runner.iter)
        merge(buffer)

    ScoreBuffer.merge = noted  # this process makes one run
    return merges


def train_on(world_size, folder, target=work, **changes):
    """Results of all ranks."""
    folder.mkdir()
    start_ranks(world_size, target, world_size, folder, changes)
    return [
        torch.load(folder / f'{rank}.pth', weights_only=False)
        for rank in range(world_size)
    ]
