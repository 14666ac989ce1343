"""Time saved against visits saved, in whole trainings."""

import json
import subprocess
import sys
from pathlib import Path

from tools.dev.benchmarks.common import summary


def measure_end_to_end(config, seeds, env):
    """Train in full and pruned.

    Args:
        config (str): The config.
        seeds (list[int]): Seeds.
        env (dict): Environment of the trainings.

    Returns:
        list[dict]: A row for each pruner.
    """
    folder = Path('work_dirs', 'benchmark', Path(config).stem)
    script = Path(__file__).parents[2] / 'compare.py'
    command = [sys.executable, str(script), config]
    command += ['--prune', 'infobatch', 'seta', '--work-dir', str(folder)]
    command += ['--seeds', *map(str, seeds), '--no-resume']
    subprocess.run(command, check=True, env=env)
    runs = json.loads((folder / 'compare.json').read_text())['runs']
    return efficiencies(config, runs)


def efficiencies(config, runs):
    """Share of time saved by share of visits saved, medians of the seeds.

    Args:
        config (str): The config.
        runs (list[dict]): Results of `compare.py`.

    Returns:
        list[dict]: A row for each pruner.
    """
    by_run = {
        (r['settings']['variant'], r['settings']['seed']): r for r in runs
    }
    rows = []
    for pruner in ('infobatch', 'seta'):
        pairs = [
            (run, by_run['full', seed])
            for (variant, seed), run in by_run.items()
            if variant == pruner
        ]
        visits = [pruned['saved'] for pruned, _ in pairs]
        row = dict(config=config, pruner=pruner, visits_saved=summary(visits))
        for clock in ('train', 'cpu'):
            key = f'{clock}_seconds'
            saved = [1 - pruned[key] / full[key] for pruned, full in pairs]
            shares = [s / v for s, v in zip(saved, visits) if v]
            row[f'{clock}_full_s'] = summary([full[key] for _, full in pairs])
            row[f'{clock}_saved'] = summary(saved)
            row[f'{clock}_efficiency'] = summary(shares) if shares else None
        rows.append(row)
    return rows
