"""All runs of a comparison, one after the other, each made only once."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from bls_mm.analysis.true_loss_dataset import make_true_loss_dataset
from bls_mm.config.options import check_study_options
from bls_mm.config.pruning import add_pruning
from bls_mm.runner.results import (
    hash_config,
    read_result,
    start_run,
    write_json,
)
from bls_mm.zoo import load_config

from . import process
from .progress import StudyProgress
from .report import make_table, save_plot
from .summary import METRIC, Result, find_metric, summarise_runs
from .variants import TRUE, Study, order_variants, split_variant


@dataclass(frozen=True)
class Comparison:
    """What came out of a comparison.

    Attributes:
        metric (str): Name of the metric that was compared.
        rows (list[dict]): From :func:`summarise_runs`, one for each variant.
        runs (list[dict]): From :func:`make_result`, one for each run.
        file (Path): All of this as JSON.
        plot (Path): The picture of it.
    """

    metric: str
    rows: List[Dict[str, Any]]
    runs: List[Result]
    file: Path
    plot: Path

    def make_table(self) -> Table:
        """The rows as a table of rich."""
        return make_table(self.rows, self.metric)


def compare(
    config: Union[str, Path],
    *,
    prune: Union[str, Sequence[str]] = ('infobatch', 'random'),
    prune_ratio: Optional[float] = None,
    target_saving: Optional[float] = None,
    seeds: Sequence[int] = (0,),
    fewer_epochs: bool = False,
    metric: Optional[str] = None,
    work_dir: Union[str, Path, None] = None,
    resume: bool = True,
    cfg_options: Optional[Dict[str, Any]] = None,
    console: Optional[Console] = None,
) -> Comparison:
    """Train a config in full and pruned, and say what pruning costs and saves.

    Each run is a process of its own. After an interruption, the same call
    continues: finished runs are kept, the interrupted one starts again.

    Args:
        config (str or Path): Config file, or zoo path.
        prune (str or list[str]): The pruned variants, each ``PRUNER`` or
            ``PRUNER:SCORE`` as in ``'infobatch:ema:batch:alpha=0.7'``. The
            score ``true`` is an upper bound for all others: the true loss of
            every sample, recomputed before each epoch. ``random`` is a
            control: without ``target_saving`` it drops as many samples as the
            first of the others did with the same seed. Defaults to
            ``('infobatch', 'random')``.
        prune_ratio (float, optional): Ratio of the variants that use scores.
            Defaults to None, those of the pruners.
        target_saving (float, optional): Share of the visits that all pruned
            variants save, instead of a ratio. Defaults to None.
        seeds (list[int]): Seeds, with each of which all variants are trained.
            Defaults to ``(0,)``.
        fewer_epochs (bool): Whether to add the control ``fewer epochs``: all
            of the data, the whole schedule compressed to save
            ``target_saving``, or without it as many visits as the first
            pruned variant. Defaults to False.
        metric (str, optional): What to compare. Defaults to None, mIoU
            (mmseg), hmean (mmocr) or the first metric of the validation.
        work_dir (str or Path, optional): Where the runs, ``compare.json`` and
            ``compare.png`` go. Defaults to None, ``work_dirs/compare_CONFIG``.
        resume (bool): Whether to keep finished runs in ``work_dir`` with
            these settings; otherwise all are repeated. Defaults to True.
        cfg_options (dict, optional): Settings that override the config in all
            runs. Defaults to None.
        console (Console, optional): Console of rich that shows the progress.
            Defaults to None, nowhere.

    Returns:
        Comparison: The table, and the results that it summarises.

    Raises:
        ChildProcessError: If a run fails.
        FileNotFoundError: If there is no such config.
        TypeError: If a setting is of the wrong type.
        ValueError: If a setting cannot be used, there is no such metric, or
            ``work_dir`` has runs with other settings.
    """
    study = _plan_study(
        str(config), prune, prune_ratio, target_saving, seeds, fewer_epochs,
        work_dir, cfg_options or {},
    )  # fmt: skip
    runs = _make_runs(study, resume, metric, console)
    rows = summarise_runs(runs, metric)
    name, _ = find_metric(runs[0], metric)
    file, plot = study.folder / 'compare.json', study.folder / 'compare.png'
    content = dict(config=study.config, metric=name, table=rows, runs=runs)
    write_json(file, content)
    save_plot(runs, rows, name, plot)
    return Comparison(name, rows, runs, file, plot)


def _plan_study(
    config: str,
    prune: Union[str, Sequence[str]],
    prune_ratio: Optional[float],
    target_saving: Optional[float],
    seeds: Sequence[int],
    fewer_epochs: bool,
    work_dir: Union[str, Path, None],
    cfg_options: Dict[str, Any],
) -> Study:
    """Refuse what cannot be run before anything is."""
    cfg = load_config(config)
    prune = [prune] if isinstance(prune, str) else prune
    for name in prune:
        pruner, score = split_variant(name)
        score = None if score == TRUE else score
        add_pruning(cfg, pruner, prune_ratio, score, target_saving)
    if not seeds:
        raise ValueError('`seeds` should have one seed at least.')
    if fewer_epochs and not prune:
        raise ValueError('`fewer_epochs` needs a variant in `prune`.')
    try:
        json.dumps(cfg_options)
    except TypeError as error:
        raise TypeError(f'`cfg_options` go into a file: {error}.') from None
    check_study_options(cfg_options)
    _check_runs(cfg, prune, cfg_options)
    return Study(
        config=config,
        config_hash=hash_config(cfg),
        cfg_options=cfg_options,
        variants=order_variants(prune, fewer_epochs),
        seeds=list(dict.fromkeys(seeds)),
        prune_ratio=prune_ratio,
        target_saving=target_saving,
        folder=Path(work_dir or f'work_dirs/compare_{Path(config).stem}'),
    )


def _check_runs(
    cfg: Config, prune: Sequence[str], cfg_options: Dict[str, Any]
) -> None:
    """Refuse a config whose runs could not be compared once made."""
    cfg = copy.deepcopy(cfg)
    cfg.merge_from_dict(cfg_options)
    if not cfg.get('val_dataloader'):
        raise ValueError(
            'The config has no `val_dataloader`, so there is no metric to '
            'compare.'
        )
    train_cfg = cfg.get('train_cfg') or {}
    length = train_cfg.get('max_epochs') or train_cfg.get('max_iters', 0)
    begin = train_cfg.get('val_begin') or 0
    if begin > length:
        raise ValueError(
            f'`train_cfg.val_begin` should be at most {length}, the length '
            f'of the run, but got {begin}: there would be no metric to '
            'compare.'
        )
    if any(split_variant(name)[1] == TRUE for name in prune):
        make_true_loss_dataset(cfg)


def _count_kept(study: Study) -> int:
    """Count the runs that are finished; refuse those with other settings.

    A control whose reference is not finished has no settings yet.
    """
    kept = 0
    for seed in study.seeds:
        reference = None
        for name in study.variants:
            if reference is None and study.is_matched(name):
                continue
            settings = study.make_settings(name, seed, reference)
            result = read_result(study.run_folder(name, seed), settings)
            kept += result is not None
            if name == study.reference:
                reference = result
    return kept


def _make_runs(
    study: Study,
    resume: bool,
    metric: Optional[str],
    console: Optional[Console],
) -> List[Result]:
    """Make all variants of a seed, then those of the next seed.

    What is compared runs close together, so that a machine which becomes
    slower in the course of hours does not favour one variant.
    """
    kept = _count_kept(study) if resume else 0
    total = len(study.variants) * len(study.seeds)
    runs: List[Result] = []
    with StudyProgress(kept, total, console) as progress:
        for seed in study.seeds:
            reference = None
            for name in study.variants:
                settings = study.make_settings(name, seed, reference)
                folder = study.run_folder(name, seed)
                result = read_result(folder, settings) if resume else None
                is_kept = result is not None
                progress.begin(f'{name}, seed {seed}', is_kept)
                if result is None:
                    result = _make_run(folder, settings, progress)
                progress.end(_describe_run(result, metric), is_kept)
                if not runs:  # whoever pools may not wait for the last
                    known = dict(metric=find_metric(result, metric)[0])
                    write_json(study.folder / METRIC, known)
                runs.append(result)
                if name == study.reference:
                    reference = result
    return runs


def _make_run(
    folder: Path, settings: Dict[str, Any], progress: StudyProgress
) -> Result:
    file = start_run(folder, settings)
    process.run_process(file, folder / 'output.log', progress.echo)
    result = read_result(folder, settings)
    if result is None:
        raise ChildProcessError(f'the run left no result, see {folder}.')
    return result


def _describe_run(result: Result, metric: Optional[str]) -> str:
    """One line; fails after the first run where there is no such metric."""
    name, value = find_metric(result, metric)
    return (
        f'{name} {value:.4g}, {result["visited"]:,} samples visited, '
        f'{result["train_seconds"]:.0f} s'
    )
