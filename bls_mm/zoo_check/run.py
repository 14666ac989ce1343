"""Train a config of the zoo in small, with and without pruning, and judge."""

import itertools
import traceback
from pathlib import Path
from unittest.mock import patch

from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import EpochBasedTrainLoop, Runner

import bls_mm
from bls_mm.config.pruning import add_pruning
from bls_mm.zoo import load_config

from .stubs import PASSES, small_settings, type_name

VERDICTS = ('passed', 'refused', 'broken', 'FAILED')


class CheckError(Exception):
    """The run was not what it should be."""


class RecordingScore(bls_mm.EMAScore):
    """Remember which samples were scored."""

    indices = None

    def update(self, scores, indices, loss):
        self.indices = indices.tolist()
        super().update(scores, indices, loss)


class Witness(Hook):
    """Compare what was scored with what the batches really held."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.score = None  # a RecordingScore, if there are scores
        self.started = False
        self.visited = 0
        self.number_of = {}
        self.id_of = {}

    def before_train_epoch(self, runner):
        self.started = True

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ):
        numbers = data_batch['number'].tolist()
        self.visited += len(numbers)
        if self.score is None:
            return
        ids, self.score.indices = self.score.indices, None
        if ids is None or len(ids) != len(numbers):
            raise CheckError(f'scored {ids} for a batch of {numbers}')
        for i, number in zip(ids, numbers):
            # Ids may be numbered in another way, but one to one.
            if (
                self.number_of.setdefault(i, number) != number
                or self.id_of.setdefault(number, i) != i
            ):
                raise CheckError(
                    f'iteration {runner.iter} scored sample {i} for sample '
                    f'{number}'
                )


class QuietRunner(Runner):
    """A runner that writes no files and does not look at the machine."""

    def build_logger(self, log_level='ERROR', log_file=None, **kwargs):
        return MMLogger.get_instance(self.experiment_name, log_level='ERROR')

    def dump_config(self):
        pass

    def _log_env(self, env_cfg):
        pass


_count = itertools.count()


def train(settings, work_dir, witness):
    """Train under the eyes of a witness and return the runner."""
    settings = dict(settings, custom_hooks=[*settings['custom_hooks']])
    for i, hook in enumerate(settings['custom_hooks']):
        if type_name(hook) == 'BLSHook':
            witness.score = RecordingScore()
            settings['custom_hooks'][i] = dict(hook, score=witness.score)
    settings['custom_hooks'].append(witness)
    # Loggers and message hubs are global, by this name.
    name = f'zoo{next(_count)}'
    runner = QuietRunner(**settings, experiment_name=name, work_dir=work_dir)
    # MMEngine sleeps between the passes of an iteration-based run.
    with patch('mmengine.runner.loops.time.sleep'):
        runner.train()
    return runner


def compare(pruned, witness, full, full_witness):
    """Hold a pruned run against the unpruned one.

    Raises:
        CheckError: If it is not what it should be.
    """
    hook = next(h for h in pruned.hooks if isinstance(h, bls_mm.BLSHook))
    kept = pruned.message_hub.get_scalar('train/bls_kept').data[0]
    _equal('samples visited', hook.visited, witness.visited)
    _near(
        'samples visited without pruning',
        hook.visited_unpruned,
        full_witness.visited,
        _slack(pruned),
    )
    _equal('epochs', pruned.epoch, full.epoch)
    _equal('iterations announced', pruned.max_iters, pruned.iter)
    if not (
        min(kept) < 1
        and witness.visited < full_witness.visited
        and pruned.iter < full.iter
    ):
        raise CheckError(
            f'nothing was pruned: {witness.visited} samples of '
            f'{full_witness.visited}, {pruned.iter} iterations of {full.iter}'
        )
    for ours, theirs in zip(pruned.param_schedulers, full.param_schedulers):
        name = type(ours).__name__
        for key in ('last_step', '_global_step'):
            _equal(f'{name}.{key}', getattr(ours, key), getattr(theirs, key))
    ours, theirs = (r.optim_wrapper.param_groups[0] for r in (pruned, full))
    for key in ('lr', 'momentum', 'betas', 'weight_decay'):
        _equal(f'last {key}', ours.get(key), theirs.get(key))


def _equal(what, ours, theirs):
    if ours != theirs:
        raise CheckError(f'{what}: {ours}, but should be {theirs}')


def _slack(runner):
    """Samples more or less in a run, where its length is in iterations.

    The end cuts a pass, and mmdet's batch samplers close each pass with a
    batch that may be small, but not those that never end.
    """
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        return 0
    return PASSES * runner.train_dataloader.batch_sampler.batch_size


def _near(what, ours, theirs, tolerance):
    if abs(ours - theirs) > tolerance:
        raise CheckError(f'{what}: {ours}, but should be {theirs}')


def check(path, work_dir):
    """Check a config.

    Args:
        path (str): The config file.
        work_dir (str): Where a runner may create folders.

    Returns:
        dict: ``verdict``, one of ``VERDICTS`` or ``'no training'`` or
        ``'unreadable'``; ``reason``, a line; ``trace``, of a failure.
    """
    try:
        cfg = load_config(path)
    except Exception as error:
        return dict(verdict='unreadable', reason=_line(error))
    if not (cfg.get('train_dataloader') and cfg.get('train_cfg')):
        return dict(verdict='no training', reason='')
    witness, full_witness = Witness(), Witness()
    failure = None
    try:
        pruned = train(small_settings(add_pruning(cfg)), work_dir, witness)
    except Exception as error:
        refusal = None if witness.started else _refusal(error)
        if refusal is not None:
            return dict(verdict='refused', reason=_line(refusal))
        failure = error
    try:
        settings = small_settings(cfg)
    except Exception as error:  # of this script, or of a dataset wrapper
        return _judged('FAILED', error)
    try:
        full = train(settings, work_dir, full_witness)
    except Exception as error:
        return _judged('broken', error)
    try:
        if failure is not None:
            raise failure
        compare(pruned, witness, full, full_witness)
    except Exception as error:
        return _judged('FAILED', error)
    return dict(verdict='passed', reason='')


def _judged(verdict, error):
    trace = ''.join(
        traceback.format_exception(None, error, error.__traceback__)
    )
    return dict(verdict=verdict, reason=_line(error), trace=trace)


def _line(error):
    text = ' '.join(str(error).split())
    return f'{type(error).__name__}: {text}'


def _refusal(error):
    """The error of ours that is behind an error, None if there is none.

    Ours is one that a `raise` in the package threw, with a message.
    """
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        root = str(Path(bls_mm.__file__).parent)
        if (
            isinstance(error, (ValueError, TypeError, RuntimeError))
            and frames[-1].filename.startswith(root)
            and frames[-1].line.startswith('raise')
        ):
            return error
        error = error.__cause__ or error.__context__
    return None
