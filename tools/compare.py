"""Train a config in full and pruned, and say what pruning saves and costs.

    python tools/compare.py CONFIG --prune infobatch seta random \
        --seeds 0 1 2 --fewer-epochs

A variant is `PRUNER`, or `PRUNER:SCORE` as in `infobatch:ema:batch:alpha=0.7`.
The score `true` is the ceiling of all others: the true loss of every sample,
taken anew at the start of each epoch, which costs a forward pass over the
data. Each run is a process of its own. Two runs are honest controls: `random`
drops random samples, as many as the first variant that uses scores dropped
with the same seed; `--fewer-epochs` trains on all the data, with the whole
schedule compressed to as many visits as that variant made. Ends with a table
on the terminal, `compare.json` and `compare.png`; `compare_pool.py` compares
its variants with any other than the full run, and pools several tables.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import deque
from pathlib import Path

from mmengine.config import DictAction

from bls_mm.comparison.report import (
    FULL,
    RANDOM,
    make_table,
    metric_of,
    plot,
    print_table,
    summarise,
)
from bls_mm.comparison.run import TRUE, write_json
from bls_mm.comparison.variants import run_settings, split_variant, variants
from bls_mm.config.pruning import add_pruning
from bls_mm.zoo import load_config

# The log lines that tell how a run is getting on.
RUN = 'bls_mm.comparison.run'
PROGRESS = re.compile(r'\d\d/\d\d [\d:]{8} - .* - (Epoch\(|Iter\(|BLS)')


# The command line


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file, or package::path')
    parser.add_argument(
        '--prune',
        nargs='+',
        default=['infobatch', RANDOM],
        metavar='PRUNER[:SCORE]',
        help='the pruned variants; defaults to infobatch and random',
    )
    parser.add_argument(
        '--prune-ratio',
        type=float,
        help='ratio of the variants that use scores; defaults to those of '
        'the pruners',
    )
    parser.add_argument(
        '--target-saving',
        type=float,
        help='share of the visits that these variants should save, in place '
        'of a ratio',
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument(
        '--fewer-epochs',
        action='store_true',
        help='also train on all the data with a shorter schedule',
    )
    parser.add_argument(
        '--metric', help='what to compare; defaults to the first val metric'
    )
    parser.add_argument(
        '--work-dir', help='defaults to work_dirs/compare_CONFIG'
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='keep the results in the work dir of runs with these settings',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='settings that override the config in all runs, as key=value',
    )
    args = parser.parse_args(argv)
    if args.work_dir is None:
        args.work_dir = f'work_dirs/compare_{Path(args.config).stem}'
    return args


def main():
    args = parse_args()
    try:
        results = run_all(args)
        report(results, args)
    except (FileNotFoundError, RuntimeError, TypeError, ValueError) as error:
        raise SystemExit(f'{Path(__file__).name}: error: {error}') from None


# All runs, each in a process of its own


def run_all(args):
    """Run all variants of a seed, then those of the next seed.

    What is compared runs close together, so that a machine which becomes
    slower in the course of hours does not favour one variant.

    Returns:
        list[dict]: Results of all runs.
    """
    cfg = load_config(args.config)
    for name in args.prune:  # fail now, not after the full run
        pruner, score = split_variant(name)
        score = None if score == TRUE else score
        add_pruning(cfg, pruner, args.prune_ratio, score, args.target_saving)
    config_hash = hashlib.sha256(cfg.pretty_text.encode()).hexdigest()
    names = variants(args.prune, args.fewer_epochs)
    results = []
    for seed in args.seeds:
        reference = None
        for name in names:
            number = f'{len(results) + 1} of {len(names) * len(args.seeds)}'
            print(f'==> Run {number}: {name}, seed {seed}', flush=True)
            settings = run_settings(name, seed, args, config_hash, reference)
            results.append(run(settings, args))
            metric_of(results[-1], args.metric)  # if it has none, fail now
            if reference is None and name != FULL:
                reference = results[-1]
    return results


def run(settings, args):
    """Run in a process of its own, unless its result is there already."""
    variant = re.sub(r'[ :]', '_', settings['variant'])
    folder = Path(args.work_dir, f'seed{settings["seed"]}', variant)
    file = folder / 'result.json'
    if args.resume and file.exists():
        done = json.loads(file.read_text())
        if done['settings'] == json.loads(json.dumps(settings)):
            print(f'Kept the result in {file}')
            return done
    folder.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    write_json(folder / 'settings.json', settings)
    run_process(folder / 'settings.json', folder / 'output.log')
    return json.loads(file.read_text())


def run_process(settings, log):
    """Start `compare_run.py`, show its progress, keep all that it prints.

    Args:
        settings (Path): File of settings.
        log (Path): File for the output.

    Raises:
        RuntimeError: If it fails. The message has the end of the output.
    """
    command = [sys.executable, '-u', '-m', RUN, str(settings)]
    tail = deque(maxlen=30)
    with (
        subprocess.Popen(
            command,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
        ) as process,
        open(log, 'w') as file,
    ):
        for line in process.stdout:
            tail.append(line)
            file.write(line)
            if PROGRESS.match(line):
                print(line, end='', flush=True)
    if process.returncode:
        raise RuntimeError(
            f'the run failed, see {log}. Its last lines:\n{"".join(tail)}'
        )


def environment():
    """The environment of a run, which leaves one core to data loading.

    Threads that wait for one another while something else has their core
    make a small model slow by a varying factor, and the times noise.
    """
    threads = max(1, (os.cpu_count() or 1) - 1)
    return {'OMP_NUM_THREADS': str(threads), **os.environ}


def report(results, args):
    """Print the table; write `compare.json` and `compare.png`."""
    rows = summarise(results, args.metric)
    metric, _ = metric_of(results[0], args.metric)
    folder = Path(args.work_dir)
    content = dict(config=args.config, metric=metric, table=rows, runs=results)
    write_json(folder / 'compare.json', content)
    plot(results, rows, metric, folder / 'compare.png')
    print_table(make_table(rows, metric))
    print(f'The same in {folder}/compare.json, a plot in {folder}/compare.png')


if __name__ == '__main__':
    main()
