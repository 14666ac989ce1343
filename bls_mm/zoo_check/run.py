"""Train a config of the zoo in small, with and without pruning, and judge."""

import itertools
import traceback
from pathlib import Path
from typing import Any, Dict, List, Optional, Union
from unittest.mock import patch

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner

import bls_mm
from bls_mm.config.pruning import add_pruning, type_name
from bls_mm.runner.schedules import list_schedulers
from bls_mm.zoo import load_config

from .scale import PASSES
from .shrink import small_settings
from .witness import CheckError, RecordingScore, Witness

VERDICTS = ('passed', 'refused', 'broken', 'FAILED')


class QuietRunner(Runner):
    """A runner that writes no files and does not look at the machine."""

    def build_logger(
        self,
        log_level: Union[int, str] = 'ERROR',
        log_file: Optional[str] = None,
        **kwargs: Any,
    ) -> MMLogger:
        return MMLogger.get_instance(self.experiment_name, log_level='ERROR')

    def dump_config(self) -> None:
        """Write no file."""

    def _log_env(self, env_cfg: Any) -> None:
        pass


class QuietConfig(Config):
    """A config that may hold objects, since nobody writes it down."""

    pretty_text = ''


_count = itertools.count()


def check_config(
    path: Union[str, Path], work_dir: Union[str, Path]
) -> Dict[str, str]:
    """Train a config in small, with and without pruning, and judge.

    Args:
        path (str or Path): The config file, or its zoo path.
        work_dir (str or Path): Folder for what a runner writes.

    Returns:
        dict[str, str]: ``verdict``, ``'passed'``, ``'refused'`` by an error
        of this package before training, ``'broken'`` without pruning too,
        ``'FAILED'``, ``'no training'`` or ``'unreadable'``; ``reason``, a
        line; and ``trace``, the traceback of what is broken or failed.
    """
    work_dir = str(work_dir)
    try:
        cfg = load_config(path)
    except Exception as error:
        return dict(verdict='unreadable', reason=_line(error))
    if not (cfg.get('train_dataloader') and cfg.get('train_cfg')):
        return dict(verdict='no training', reason='')
    if not isinstance(cfg.train_dataloader, dict):
        kind = type(cfg.train_dataloader).__name__
        reason = f'`train_dataloader` is a {kind}, which MMEngine cannot build'
        return dict(verdict='broken', reason=reason)
    witness, full_witness = Witness(), Witness()
    failure: Optional[Exception] = None
    refusal: Optional[BaseException] = None
    try:
        pruned = train(small_settings(add_pruning(cfg)), work_dir, witness)
    except Exception as error:
        refusal = None if witness.started else _refusal(error)
        failure = error
    try:
        settings = small_settings(cfg)
    except Exception as error:  # of the shrinking, or of a dataset wrapper
        return _judged('FAILED', error)
    try:
        full = train(settings, work_dir, full_witness)
    except Exception as error:
        return _judged('broken', error)
    if refusal is not None:
        return dict(verdict='refused', reason=_line(refusal))
    try:
        if failure is not None:
            raise failure
        compare_runs(pruned, witness, full, full_witness)
    except Exception as error:
        return _judged('FAILED', error)
    return dict(verdict='passed', reason='')


def _judged(verdict: str, error: Exception) -> Dict[str, str]:
    trace = ''.join(
        traceback.format_exception(None, error, error.__traceback__)
    )
    return dict(verdict=verdict, reason=_line(error), trace=trace)


def _line(error: BaseException) -> str:
    text = ' '.join(str(error).split())
    return f'{type(error).__name__}: {text}'


def _refusal(error: Optional[BaseException]) -> Optional[BaseException]:
    """The error of ours that is behind an error, None if there is none.

    Ours is one that a `raise` in the package threw, with a message.
    """
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        root = str(Path(bls_mm.__file__).parent)
        if (
            isinstance(error, (ValueError, TypeError, RuntimeError))
            and frames[-1].filename.startswith(root)
            and (frames[-1].line or '').startswith('raise')
        ):
            return error
        error = error.__cause__ or error.__context__
    return None


def train(settings: Dict[str, Any], work_dir: str, witness: Witness) -> Any:
    """Train while a witness looks on.

    Args:
        settings (dict): What :func:`small_settings` returned.
        work_dir (str): Folder for what the runner writes.
        witness (Witness): A hook, which gets the score of the run.

    Returns:
        Runner: The runner after training.
    """
    settings = dict(settings, custom_hooks=[*settings['custom_hooks']])
    for i, hook in enumerate(settings['custom_hooks']):
        if type_name(hook) == 'BLSHook':
            witness.score = RecordingScore()
            settings['custom_hooks'][i] = dict(hook, score=witness.score)
    settings['custom_hooks'].append(witness)
    # Loggers and message hubs are global, by this name.
    name = f'zoo{next(_count)}'
    runner = QuietRunner(**settings, experiment_name=name, work_dir=work_dir)
    # Where hooks look for the DataLoader that they make another one of.
    loader = settings['train_dataloader']
    runner.cfg = QuietConfig(dict(train_dataloader=loader))
    # MMEngine sleeps between the passes of an iteration-based run, and mmpose
    # draws one of several neighbours for an index: here always that in the
    # middle.
    with (
        patch('mmengine.runner.loops.time.sleep'),
        patch('numpy.random.rand', return_value=0.5),
    ):
        runner.train()
    return runner


def compare_runs(
    pruned: Any, witness: Witness, full: Any, full_witness: Witness
) -> None:
    """Hold a pruned run against the unpruned one.

    Args:
        pruned (Runner): The runner after a pruned training.
        witness (Witness): Its witness.
        full (Runner): The runner after the unpruned training.
        full_witness (Witness): Its witness.

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
        # Not what the other run has visited: a pass of it may have ended with
        # a batch of one sample.
        and witness.visited < hook.visited_unpruned
        and pruned.iter < full.iter
    ):
        raise CheckError(
            f'nothing was pruned: {witness.visited} samples of '
            f'{hook.visited_unpruned}, {pruned.iter} iterations of '
            f'{full.iter}'
        )
    for ours, theirs in zip(*map(list_schedulers, (pruned, full))):
        name = type(ours).__name__
        for key in ('last_step', '_global_step'):
            _equal(f'{name}.{key}', getattr(ours, key), getattr(theirs, key))
    for ours, theirs in zip(*map(_param_groups, (pruned, full))):
        for key in ('lr', 'momentum', 'betas', 'weight_decay'):
            _equal(f'last {key}', ours.get(key), theirs.get(key))


def _param_groups(runner: Any) -> List[Dict[str, Any]]:
    """The groups of parameters of all optimizers."""
    wrapper = runner.optim_wrapper
    wrappers = [wrapper]
    if isinstance(wrapper, OptimWrapperDict):
        wrappers = list(wrapper.values())
    return [group for each in wrappers for group in each.param_groups]


def _equal(what: str, ours: Any, theirs: Any) -> None:
    if ours != theirs:
        raise CheckError(f'{what}: {ours}, but should be {theirs}')


def _slack(runner: Any) -> int:
    """Samples more or less in a run, where its length is in iterations.

    The end cuts a pass, and mmdet's batch samplers close each pass with a
    batch that may be small, but not those that never end.
    """
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        return 0
    return PASSES * runner.train_dataloader.batch_sampler.batch_size


def _near(what: str, ours: int, theirs: int, tolerance: int) -> None:
    if abs(ours - theirs) > tolerance:
        raise CheckError(f'{what}: {ours}, but should be {theirs}')
