"""Launchers: real ranks on the CPU, started as users start them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from tools.dev.resume_check.killed import load
from tools.dev.resume_check.processes import environment
from tools.dev.resume_check.run import SIZE, make_config

TOOLS = Path(__file__).parents[2] / 'tools'
SCRIPT = ['bash', str(TOOLS / 'dist_train.sh')]
SLURM = ['bash', str(TOOLS / 'slurm_train.sh')]
# Starts the tasks of a job on this machine, with the environment that Slurm
# gives them, once it has written down what it was asked for.
SRUN = f"""#!{sys.executable}
import os, subprocess, sys
words = sys.argv[1:]
with open(os.environ['ASKED'], 'w') as file:
    print(*words, sep='\\n', file=file)
options = [word for word in words if word.startswith('--')]
settings = dict(option[2:].partition('=')[::2] for option in options)
env = dict(os.environ, SLURM_NTASKS=settings['ntasks'])
env.update(SLURM_NODELIST='node[7-8]')
command = words[words.index('python') :]
tasks = [
    subprocess.Popen(
        command, env=dict(env, SLURM_PROCID=str(i), SLURM_LOCALID=str(i))
    )
    for i in range(int(settings['ntasks']))
]
sys.exit(max(task.wait() for task in tasks))
"""
# What the config imports. A thread of the process group that frees a tensor at
# the exit of Python aborts it.
THREADS = """
import atexit, os
from pathlib import Path

def note():
    threads = Path('/proc/self/task').glob('*/comm')
    names = ''.join(thread.read_text() for thread in threads)
    Path(__file__).with_name('threads' + os.environ['RANK']).write_text(names)

atexit.register(note)
"""
pytestmark = pytest.mark.slow


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config that knows nothing of pruning."""
    (tmp_path / 'noted_threads.py').write_text(THREADS)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=os.pathsep)
    config = make_config('epoch', 'None', ranks=2, seed=1)
    config['custom_imports']['imports'].append('noted_threads')
    config['custom_hooks'] = [dict(type='Journal', folder=str(tmp_path))]
    config['train_dataloader']['sampler'] = dict(type='DefaultSampler')
    path = tmp_path / 'config.py'
    Config(config).dump(path)
    return path


def options(tmp_path):
    return [
        *('--prune', 'seta', '--prune-ratio', '0.2'),
        *('--work-dir', str(tmp_path / 'work')),
        *('--cfg-options', 'train_cfg.max_epochs=3'),
    ]


def assert_ranks_trained(tmp_path, ranks=2):
    """All did their part of three epochs, with the options of the command."""
    (path,) = (tmp_path / 'work').glob('*.py')
    cfg = Config.fromfile(path, import_custom_modules=False)
    sampler = cfg.train_dataloader.sampler
    assert sampler.pruner.type == 'SeTa'
    assert sampler.pruner.prune_ratio == 0.2
    path = tmp_path / 'work' / 'epoch_3.pth'
    assert load(path)['bls']['world_size'] == ranks
    journals = [tmp_path / f'rank{rank}.jsonl' for rank in range(ranks)]
    lines = [
        json.loads(line)
        for journal in journals
        for line in journal.read_text().splitlines()
    ]
    visited = [
        index
        for line in lines
        if line.get('epoch') == 0
        for index in line['indices']
    ]
    assert set(visited) == set(range(SIZE))
    assert len(visited) == SIZE + SIZE % ranks
    for rank in range(ranks):
        threads = (tmp_path / f'threads{rank}').read_text()
        assert threads and 'gloo' not in threads


def test_dist_train_starts_ranks_and_passes_arguments_on(tmp_path, config):
    subprocess.run(
        [*SCRIPT, config, '2', *options(tmp_path)],
        env=environment(),
        check=True,
        timeout=200,
    )
    assert_ranks_trained(tmp_path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_dist_train_uses_the_gpus(tmp_path, config):
    ranks = min(2, torch.cuda.device_count())
    env = environment()
    del env['CUDA_VISIBLE_DEVICES']
    done = subprocess.run(
        [*SCRIPT, config, str(ranks), *options(tmp_path), 'log_level=INFO'],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert f'GPU number: {ranks}' in done.stdout
    path = tmp_path / 'work' / 'epoch_3.pth'
    assert load(path)['bls']['world_size'] == ranks


def test_module_is_a_program_of_torchrun(tmp_path, config):
    env = environment()
    command = [sys.executable, '-m', 'torch.distributed.run']
    command += ['--nproc_per_node', '1', '--master_port', env['PORT']]
    command += ['-m', 'bls_mm', 'train', config, '--launcher', 'pytorch']
    subprocess.run(
        [*command, *options(tmp_path)], env=env, check=True, timeout=200
    )
    assert_ranks_trained(tmp_path, ranks=1)


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)


def slurm_environment(tmp_path, **settings):
    """Programs of Slurm, and what the user sets."""
    folder = tmp_path / 'slurm'
    folder.mkdir()
    write_program(folder / 'srun', SRUN)
    hosts = 'printf "127.0.0.1\\n127.0.0.2\\n"'
    write_program(
        folder / 'scontrol',
        f'#!/bin/sh\n[ "$*" = "show hostname node[7-8]" ] && {hosts}\n',
    )
    env = environment()
    for name in ('MASTER_ADDR', 'GPUS', 'GPUS_PER_NODE', 'CPUS_PER_TASK'):
        env.pop(name, None)
    env['PATH'] = os.pathsep.join([str(folder), env['PATH']])
    asked = str(folder / 'asked')
    return dict(env, MASTER_PORT=env['PORT'], ASKED=asked, **settings)


def test_slurm_train_starts_ranks(tmp_path, config):
    env = slurm_environment(
        tmp_path, GPUS='2', CPUS_PER_TASK='3', SRUN_ARGS='--mem=4G --qos=high'
    )
    subprocess.run(
        [*SLURM, 'gpu', 'my job', config, *options(tmp_path)],
        env=env,
        check=True,
        timeout=200,
    )
    assert_ranks_trained(tmp_path)
    words = Path(env['ASKED']).read_text().splitlines()
    assert words == [
        *('--partition=gpu', '--job-name=my job', '--gres=gpu:2'),
        *('--ntasks=2', '--ntasks-per-node=2', '--cpus-per-task=3'),
        *('--kill-on-bad-exit=1', '--mem=4G', '--qos=high'),
        *('python', '-u', str(TOOLS / 'train.py'), str(config)),
        *('--launcher', 'slurm', *options(tmp_path)),
    ]


@pytest.mark.parametrize(
    'settings, gres, tasks',
    [
        ({}, 8, 8),
        (dict(GPUS='16'), 8, 16),
        (dict(GPUS='4', GPUS_PER_NODE='2'), 2, 4),
    ],
)
def test_slurm_train_spreads_tasks_over_nodes(tmp_path, settings, gres, tasks):
    env = slurm_environment(tmp_path, **settings)
    write_program(tmp_path / 'slurm' / 'python', '#!/bin/sh\n')
    env['PATH'] = os.pathsep.join([str(tmp_path / 'slurm'), env['PATH']])
    subprocess.run([*SLURM, 'p', 'j', 'c.py'], env=env, check=True)
    words = Path(env['ASKED']).read_text().splitlines()
    assert words[2:5] == [
        *(f'--gres=gpu:{gres}', f'--ntasks={tasks}'),
        f'--ntasks-per-node={gres}',
    ]


def run_with_a_fake_python(tmp_path, *argv, **settings):
    """What the script asks Python to do."""
    fake = tmp_path / 'python'
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    clean = {'PORT', 'NNODES', 'NODE_RANK', 'MASTER_ADDR'}
    env = {k: v for k, v in os.environ.items() if k not in clean}
    env['PATH'] = os.pathsep.join([str(tmp_path), env['PATH']])
    env.update(settings)
    done = subprocess.run(
        [*SCRIPT, *argv], env=env, capture_output=True, text=True
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_dist_train_takes_the_settings_of_openmmlab(tmp_path):
    status, words, _ = run_with_a_fake_python(tmp_path, 'c.py', '8')
    assert status == 0
    assert words == [
        *('-m', 'torch.distributed.run', '--nnodes=1', '--node_rank=0'),
        *('--master_addr=127.0.0.1', '--master_port=29500'),
        *('--nproc_per_node=8', str(TOOLS / 'train.py'), 'c.py'),
        *('--launcher', 'pytorch'),
    ]
    status, words, _ = run_with_a_fake_python(
        tmp_path,
        *('c.py', '4', '--cfg-options', 'a.b=[1, 2]'),
        NNODES='2',
        NODE_RANK='1',
        MASTER_ADDR='10.0.0.1',
        PORT='29600',
    )
    assert words[2:7] == [
        *('--nnodes=2', '--node_rank=1', '--master_addr=10.0.0.1'),
        *('--master_port=29600', '--nproc_per_node=4'),
    ]
    assert words[-2:] == ['--cfg-options', 'a.b=[1, 2]']


@pytest.mark.parametrize(
    'script, argv, usage',
    [
        (SCRIPT, [], 'dist_train.sh CONFIG GPUS [ARG...]'),
        (SCRIPT, ['config.py'], 'dist_train.sh CONFIG GPUS [ARG...]'),
        (SLURM, ['p', 'j'], 'slurm_train.sh PARTITION JOB_NAME CONFIG [ARG'),
    ],
)
def test_script_says_how_to_use_it(script, argv, usage):
    done = subprocess.run([*script, *argv], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f'usage: tools/{usage}')
