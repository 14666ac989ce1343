"""Measure how well scores tell the true losses of the samples.

    python tools/analysis_tools/score_fidelity.py CONFIG \
        --scores ema:batch mart:batch mart --batch-sizes 8 32 --every 3

Trains CONFIG once a batch size and seed, on all the data unless `--prune`
says otherwise, with all scores side by side: they see the same batches and
change nothing. `NAME:batch` is a score of batch losses, `NAME` the same one of
the losses of single samples, where the model computes them; settings follow,
as in `ema:batch:alpha=0.7:init=first`. Every few passes the true loss of each
training sample is taken with the weights of the moment, one sample at a time,
without augmentation, and compared with the scores. `offline` is no score, but
what can be had from batch losses at all: all of the batches so far, solved
together. `true`, in every table, is the truth itself: no score's top can hold
more of the loss. Ends with a table, `fidelity.json` and `fidelity.png`.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from mmengine.config import DictAction
from mmengine.hooks import Hook
from rich.table import Table

from bls_mm import BLSHook, Score
from bls_mm.analysis.true_losses import (
    fidelity,
    solve,
    true_loss_dataset,
    true_losses,
)
from bls_mm.comparison.report import print_table
from bls_mm.comparison.run import write_json
from bls_mm.config.options import fill_dataloaders
from bls_mm.config.pruning import add_pruning, parse_score
from bls_mm.registry import SCORES
from bls_mm.runner.build import build_runner
from bls_mm.zoo import load_config

OFFLINE, TRUE = 'offline', 'true'
MEASURES = ('spearman', 'recall10', 'mass10', 'mass30')


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file, or package::path')
    parser.add_argument(
        '--scores',
        nargs='+',
        default=['mart', 'ema', 'mart:batch', 'ema:batch'],
        metavar='NAME[:batch][:SETTING=VALUE]',
        help='defaults to mart and ema, both also with `:batch`; `offline`, '
        'not as the first, adds the best estimate from batch losses',
    )
    parser.add_argument('--batch-sizes', nargs='+', type=int)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument(
        '--every', type=int, default=3, help='passes from truth to truth'
    )
    parser.add_argument(
        '--prune', default='none', help='prune by the first of the scores'
    )
    parser.add_argument('--work-dir', help='defaults to work_dirs/fidelity')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}
    )
    args = parser.parse_args(argv)
    args.work_dir = Path(args.work_dir or 'work_dirs/fidelity')
    return args


def main():
    args = parse_args()
    base = load_config(args.config)
    sizes = args.batch_sizes or [base.train_dataloader.batch_size]
    results = [
        result
        for size in sizes
        for seed in args.seeds
        for result in run(args, size, seed)
    ]
    write_json(args.work_dir / 'fidelity.json', results)
    print_table(make_table(results))
    plot(results, args.work_dir / 'fidelity.png')


# One run


def run(args, batch_size, seed):
    """Train once and compare all scores.

    Returns:
        list[dict]: One per score and comparison: batch size, seed, score,
        pass, and the measures.
    """
    cfg = load_config(args.config)
    base_size = cfg.train_dataloader.batch_size
    cfg.merge_from_dict(
        {
            **args.cfg_options,
            'randomness.seed': seed,
            'train_dataloader.batch_size': batch_size,
            'work_dir': str(args.work_dir / f'batch{batch_size}_seed{seed}'),
        }
    )
    # As `--auto-scale-lr` does.
    cfg.auto_scale_lr = dict(enable=True, base_batch_size=base_size)
    cfg = add_pruning(cfg, args.prune)
    for hook in cfg.custom_hooks:
        if hook['type'] == 'bls_mm.BLSHook':
            hook['score'] = dict(type='Panel', scores=args.scores)
    fill_dataloaders(cfg)
    truth = true_loss_dataset(cfg)
    runner = build_runner(cfg)
    watch = Watch(truth, args.every)
    runner.register_hook(watch, priority='LOWEST')
    runner.train()
    return [
        dict(batch_size=batch_size, seed=seed, **row) for row in watch.rows
    ]


@SCORES.register_module()
class Panel(Score):
    """Several scores of the same batches, each with a buffer of its own.

    The first one is that of the run.
    """

    def __init__(self, scores):
        self.rules = {}
        self.batches = [] if OFFLINE in scores else None
        for spec in scores:
            if spec == OFFLINE:
                continue
            score, per_sample = parse_score(spec)
            self.rules[spec] = SCORES.build(score), per_sample
        self.buffers = {}

    def update(self, scores, indices, loss):
        if self.batches is not None:
            self.batches.append((indices.tolist(), float(loss.mean())))
        for number, (spec, (rule, per_sample)) in enumerate(
            self.rules.items()
        ):
            if per_sample and loss.ndim == 0:
                continue
            if spec not in self.buffers:
                new = scores if number == 0 else torch.zeros_like(scores)
                self.buffers[spec] = new
            # The mean is that of the batch, see SampleLosses.
            known = loss if per_sample else loss.mean()
            rule.update(self.buffers[spec], indices, known)


class Watch(Hook):
    """Compare the scores with the truth every few passes over the data."""

    def __init__(self, dataset, every):
        self.dataset = dataset
        self.every = every
        self.rows = []

    def before_train(self, runner):
        self.hook = next(h for h in runner.hooks if isinstance(h, BLSHook))
        batch = runner.train_dataloader.batch_sampler.batch_size
        # Of an unpruned run; a pruned one has passed more by then.
        self.per_pass = -(-len(self.hook.scores) // batch)

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ):
        done = runner.iter + 1
        if done % (self.every * self.per_pass) == 0:
            truth = true_losses(runner.model, self.dataset)
            panel = self.hook.score
            found = {k: v.cpu().numpy() for k, v in panel.buffers.items()}
            if panel.batches is not None:
                found[OFFLINE] = solve(panel.batches, len(truth))
            found[TRUE] = truth
            for name, scores in found.items():
                self.rows.append(
                    dict(
                        score=name,
                        passes=done // self.per_pass,
                        **fidelity(scores, truth),
                    )
                )


# The report


def make_table(results):
    """Means over the seeds, one row per batch size, score and pass."""
    table = Table('batch', 'score', 'pass', *MEASURES)
    for key in dict.fromkeys(map(row_key, results)):
        rows = [r for r in results if row_key(r) == key]
        cells = []
        for name in MEASURES:
            values = [r[name] for r in rows]
            cell = f'{np.mean(values):.2f}'
            if len(values) > 1:
                cell += f' ± {np.std(values, ddof=1):.2f}'
            cells.append(cell)
        table.add_row(*map(str, key), *cells)
    return table


def row_key(result):
    return result['batch_size'], result['score'], result['passes']


def plot(results, file):
    """Rank correlation and loss mass over the passes, a colour per score."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    sizes = sorted({r['batch_size'] for r in results})
    scores = list(dict.fromkeys(r['score'] for r in results))
    figure, grid = plt.subplots(
        2, len(sizes), figsize=(4 * len(sizes), 7), squeeze=False
    )
    for column, size in zip(grid.T, sizes):
        for number, score in enumerate(scores):
            rows = [
                r
                for r in results
                if (r['batch_size'], r['score']) == (size, score)
            ]
            passes = sorted({r['passes'] for r in rows})
            for axes, name in zip(column, ('spearman', 'mass30')):
                means = [
                    np.mean([r[name] for r in rows if r['passes'] == p])
                    for p in passes
                ]
                axes.plot(passes, means, f'C{number}.-', label=score)
        column[0].set(title=f'batch size {size}', ylabel='rank correlation')
        column[1].set(xlabel='pass', ylabel='loss held by the top 30 %')
        for axes in column:
            axes.grid(alpha=0.3)
    grid[0, 0].legend()
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    plt.close(figure)


if __name__ == '__main__':
    main()
