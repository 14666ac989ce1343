"""Check that the configs of installed packages can be pruned."""

import argparse
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Optional

from .parsing import make_parser, say, short_errors

PACKAGES = (
    'mmdet',
    'mmpretrain',
    'mmseg',
    'mmpose',
    'mmaction',
    'mmdet3d',
    'mmrotate',
    'mmagic',
    'mmyolo',
    'mmocr',
)
DESCRIPTION = """\
Prune every training config of the installed OpenMMLab packages.

Each config is trained for a few passes, with and without pruning. Its data is
a stub of a few batches and its model one parameter; its dataset wrappers,
sampler, batch sampler, loop, schedules, optimizer and the hooks that touch
the data loader are its own. A config passes if

- each batch holds the very samples that the hook scores,
- pruned passes are smaller and the run visits fewer samples,
- the schedules, and with them the learning rate, end where they do without
  pruning, and the run ends with the iteration that it announced.

A config that cannot be trained without pruning either is listed as broken,
one that a clear message turns away as refused. Anything else is a failure.
The exit status is 0 if nothing failed and enough passed.
"""
EXAMPLES = """\
  %(prog)s
  %(prog)s --packages mmdet --filter '*retinanet*' --json results.json
"""


def parse_args(
    argv: Optional[List[str]] = None, prog: Optional[str] = None
) -> argparse.Namespace:
    """Read the command line.

    Args:
        argv (list[str], optional): The words. Defaults to None, those of the
            process.
        prog (str, optional): How the command is called. Defaults to None,
            the script that is running.

    Returns:
        Namespace: The options.
    """
    parser = make_parser(DESCRIPTION, EXAMPLES, prog)
    parser.add_argument(
        '--packages',
        nargs='+',
        default=[name for name in PACKAGES if find_spec(name)],
        metavar='NAME',
        help='import names; defaults to those of '
        f'{", ".join(PACKAGES)} that are installed',
    )
    parser.add_argument(
        '--filter',
        nargs='+',
        default=['*'],
        metavar='GLOB',
        help='check only these configs, such as "mmdet::retinanet/*"',
    )
    parser.add_argument(
        '--workers',
        type=int,
        default=2,
        metavar='N',
        help='number of processes; defaults to %(default)s',
    )
    parser.add_argument(
        '--timeout',
        type=float,
        default=300,
        metavar='SECONDS',
        help='time for a config; defaults to %(default)s',
    )
    parser.add_argument(
        '--goal',
        type=float,
        default=0.99,
        metavar='SHARE',
        help='share of the training configs that should pass; defaults to '
        '%(default)s',
    )
    parser.add_argument(
        '--json', metavar='FILE', help='write the results to this file, too'
    )
    return parser.parse_args(argv)


def main(argv: Optional[List[str]] = None, prog: Optional[str] = None) -> int:
    """Run the command; arguments as in :func:`parse_args`.

    Returns:
        int: 0 if nothing failed and the goal was reached, else 1.
    """
    args = parse_args(argv, prog)
    import json

    from bls_mm.checks import check_integer
    from bls_mm.zoo_check import (
        VERDICTS,
        find_configs,
        format_results,
        sweep,
    )

    with short_errors(prog):
        names = {}
        for package in args.packages:
            names.update(find_configs(package, args.filter))
        if not names:
            raise ValueError('No config matches `--packages` and `--filter`.')
        check_integer('workers', args.workers, 1, 1024)
        if args.json:  # rather now than at the end
            Path(args.json).parent.mkdir(parents=True, exist_ok=True)
            open(args.json, 'a').close()
    results: List[Dict[str, Any]] = []
    counts: Counter[str] = Counter()
    start = time.monotonic()
    for result in sweep(list(names), args.workers, args.timeout):
        result['name'] = names[result.pop('path')]
        results.append(result)
        counts[result['verdict']] += 1
        _show_progress(len(names), counts, time.monotonic() - start)
    say(format_results(results))
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1))
    checked = sum(counts[verdict] for verdict in VERDICTS)
    reached = counts['passed'] >= args.goal * checked
    return int(counts['FAILED'] > 0 or not reached)


def _show_progress(total: int, counts: Counter[str], seconds: float) -> None:
    """Keep one line up to date, or add one now and then to a log."""
    done = sum(counts.values())
    line = f'{done} of {total} files, {seconds:.0f} s: '
    line += ', '.join(f'{n} {verdict}' for verdict, n in counts.items())
    if sys.stderr.isatty():
        end = '\n' if done == total else ''
        sys.stderr.write(f'\r\033[K{line}{end}')
    elif done % 100 == 0 or done == total:
        sys.stderr.write(f'{line}\n')
    sys.stderr.flush()
