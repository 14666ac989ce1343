"""How well scores match the true losses of the samples."""

import copy
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from bls_mm.checks import check_integer
from bls_mm.config.options import check_study_options, fill_dataloaders
from bls_mm.config.pruning import (
    add_pruning,
    is_hook,
    list_hooks,
    parse_score,
)
from bls_mm.runner.build import build_runner
from bls_mm.runner.results import (
    RESULT,
    hash_config,
    read_result,
    start_run,
    write_json,
)
from bls_mm.zoo import load_config

from .score_panel import OFFLINE, TruthHook
from .true_loss_dataset import build_true_loss_dataset
from .true_losses import check_scipy

MEASURES = ('spearman', 'recall10', 'mass10', 'mass30')
PANEL = 'bls_mm.analysis.score_panel.ScorePanel'
# One for each batch size, seed, score and comparison.
Rows = List[Dict[str, Any]]


def measure_fidelity(
    config: Union[str, Path],
    *,
    scores: Sequence[str] = ('mart', 'ema', 'mart:batch', 'ema:batch'),
    batch_sizes: Optional[Sequence[int]] = None,
    seeds: Sequence[int] = (0,),
    every: int = 3,
    prune: str = 'none',
    work_dir: Union[str, Path] = 'work_dirs/fidelity',
    resume: bool = True,
    cfg_options: Optional[Dict[str, Any]] = None,
    console: Optional[Console] = None,
) -> Rows:
    """Train with several scores, and compare them with the true losses.

    The scores see the same batches and change nothing. Every few passes the
    true loss of each training sample alone is computed with the current
    weights, without augmentation.

    After an interruption, the same call continues: finished trainings are
    kept, the one that was interrupted starts again.

    Args:
        config (str or Path): Config file, or zoo path.
        scores (list[str]): Scores as :func:`bls_mm.config.parse_score` reads
            them; ``'offline'`` is the best estimate from batch losses, all of
            them so far solved together. Defaults to
            ``('mart', 'ema', 'mart:batch', 'ema:batch')``.
        batch_sizes (list[int], optional): Batch sizes; learning rates are
            scaled with them. Defaults to None, that of the config.
        seeds (list[int]): Seeds. Defaults to ``(0,)``.
        every (int): Passes between two comparisons. Defaults to 3.
        prune (str): Pruner, which uses the first of the scores.
            Defaults to 'none'.
        work_dir (str or Path): Where the trainings, ``fidelity.json`` and
            ``fidelity.png`` go. Defaults to 'work_dirs/fidelity'.
        resume (bool): Whether to keep finished trainings in ``work_dir`` with
            these settings; otherwise all are repeated. Defaults to True.
        cfg_options (dict, optional): Settings that override the config.
            Defaults to None.
        console (Console, optional): Console of rich that names each
            training. Defaults to None, nowhere.

    Returns:
        list[dict]: ``batch_size``, ``seed``, ``score``, ``passes`` and what
        :func:`rate_scores` returns, for each score and the truth, ``true``.

    Raises:
        FileNotFoundError: If there is no such config.
        ImportError: If scipy is not installed.
        ValueError: If a setting cannot be used, or ``work_dir`` has trainings
            with other settings.
    """
    check_scipy()
    base = load_config(config)
    add_pruning(base, prune)  # refuses what is not known
    for spec in scores:
        if spec != OFFLINE:
            parse_score(spec)
    check_integer('every', every, 1, 2**31)
    for size in batch_sizes or ():
        check_integer('batch_sizes', size, 1, 2**31)
    cfg_options = cfg_options or {}
    check_study_options(cfg_options)
    work_dir = Path(work_dir)
    settings = dict(
        config=str(config),
        config_hash=hash_config(base),
        cfg_options=cfg_options,
        scores=list(scores),
        every=every,
        prune=prune,
    )
    base.merge_from_dict(cfg_options)
    default = base.train_dataloader.batch_size
    runs = [
        dict(settings, batch_size=size, seed=seed)
        for size in dict.fromkeys(batch_sizes or [default])
        for seed in dict.fromkeys(seeds)
    ]
    folders = [
        work_dir / f'batch{run["batch_size"]}_seed{run["seed"]}'
        for run in runs
    ]
    if resume:
        for folder, run in zip(folders, runs):
            read_result(folder, run)  # refuses other settings
    console = console or Console(quiet=True)
    rows: Rows = []
    for number, (folder, run) in enumerate(zip(folders, runs), 1):
        result = read_result(folder, run) if resume else None
        console.print(
            f'==> Training {number} of {len(runs)}: batches of '
            f'{run["batch_size"]}, seed {run["seed"]}'
            f'{"" if result is None else ", kept"}',
            highlight=False,
        )
        if result is None:
            result = dict(settings=run, rows=_train(base, run, folder))
            write_json(folder / RESULT, result)
        rows += result['rows']
    write_json(work_dir / 'fidelity.json', rows)
    save_plot(rows, work_dir / 'fidelity.png')
    return rows


def _train(base: Config, run: Dict[str, Any], folder: Path) -> Rows:
    start_run(folder, run)
    cfg = _make_config(base, run, folder)
    watch = TruthHook(build_true_loss_dataset(cfg), run['every'])
    runner = build_runner(cfg)
    runner.register_hook(watch)
    runner.train()
    shared = dict(batch_size=run['batch_size'], seed=run['seed'])
    return [dict(shared, **row) for row in watch.rows]


def _make_config(base: Config, run: Dict[str, Any], folder: Path) -> Config:
    cfg = copy.deepcopy(base)
    cfg.merge_from_dict(
        {
            'randomness.seed': run['seed'],
            'train_dataloader.batch_size': run['batch_size'],
            'work_dir': str(folder),
            # MMEngine's hubs are global, under this name and the second.
            'experiment_name': f'{folder.parent.name}_{folder.name}',
        }
    )
    # As `--auto-scale-lr` does.
    base_size = base.train_dataloader.batch_size
    cfg.auto_scale_lr = dict(enable=True, base_batch_size=base_size)
    cfg = add_pruning(cfg, run['prune'])
    for hook in list_hooks(cfg):
        if is_hook(hook, 'BLSHook'):
            hook['score'] = dict(type=PANEL, scores=run['scores'])
    fill_dataloaders(cfg)
    return cfg


# The report


def make_fidelity_table(rows: Rows) -> Table:
    """Make a table with a row for each batch size, score and pass.

    Args:
        rows (list[dict]): From :func:`measure_fidelity`.

    Returns:
        Table: A table of rich: mean ± sample standard deviation of the seeds.
    """
    table = Table('batch', 'score', 'pass', *MEASURES)
    groups: Dict[Any, Rows] = {}
    for row in rows:
        key = row['batch_size'], row['score'], row['passes']
        groups.setdefault(key, []).append(row)
    for key, group in groups.items():
        cells = []
        for name in MEASURES:
            values = [row[name] for row in group]
            cell = f'{np.mean(values):.2f}'
            if len(values) > 1:
                cell += f' ± {np.std(values, ddof=1):.2f}'
            cells.append(cell)
        table.add_row(*map(str, key), *cells)
    return table


def save_plot(rows: Rows, file: Path) -> None:
    """Plot rank correlation and loss mass over the passes.

    Args:
        rows (list[dict]): From :func:`measure_fidelity`.
        file (Path): The file to write.
    """
    from matplotlib.figure import Figure  # takes long to import

    sizes = sorted({row['batch_size'] for row in rows})
    figure = Figure(figsize=(4 * len(sizes), 7))
    grid = figure.subplots(2, len(sizes), squeeze=False)
    for (top, bottom), size in zip(grid.T, sizes):
        group = [row for row in rows if row['batch_size'] == size]
        _plot_measure(top, group, 'spearman')
        _plot_measure(bottom, group, 'mass30')
        top.set(title=f'batch size {size}', ylabel='rank correlation')
        bottom.set(xlabel='pass', ylabel='loss held by the top 30 %')
    grid[0, 0].legend()
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def _plot_measure(axes: Any, rows: Rows, name: str) -> None:
    """A line for each score: the means of the seeds over the passes."""
    for score in dict.fromkeys(row['score'] for row in rows):
        values: Dict[int, List[float]] = {}
        for row in rows:
            if row['score'] == score:
                values.setdefault(row['passes'], []).append(row[name])
        means = [np.mean(values[passes]) for passes in sorted(values)]
        axes.plot(sorted(values), means, '.-', label=score)
    axes.grid(alpha=0.3)
