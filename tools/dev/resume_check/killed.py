"""A training that is killed and resumed, beside one that is not."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from mmengine.config import Config

from bls_mm.checkpoint.files import is_complete
from tools.dev.resume_check.processes import (
    descendants,
    environment,
    is_alive,
    kill_all,
)

TOOLS = Path(__file__).resolve().parents[2]
BALLAST = 4_000_000  # numbers in a checkpoint, which takes some 50 ms then
PAUSE = 0.008  # seconds that an iteration lasts at least
TIMEOUT = 120
MOMENTS = ('start', 'iteration', 'between', 'saving')


class DifferenceError(Exception):
    """Something that a run should not have done."""


def ended(how, place):
    """How a training ended, with the last lines that it printed."""
    log = place / 'output.log'
    lines = log.read_text(errors='replace').splitlines()[-30:]
    return '\n'.join([f'{how}, see {log}', *lines])


class Run:
    """A training in two work folders: one undisturbed, one with kills."""

    def __init__(self, folder, config, ranks, chance):
        self.folder = folder
        self.ranks = ranks
        self.chance = chance
        self.whole = folder / 'whole'
        self.killed = folder / 'killed'
        for place in (self.whole, self.killed):
            place.mkdir(parents=True)
            config['custom_hooks'][-1].update(
                folder=str(place / 'journal'),
                pause=PAUSE if place == self.killed else 0,
            )
            config['work_dir'] = str(place)
            Config(config).dump(place / 'run.py')

    def check(self, kills, moments, result):
        self.finish(self.whole)
        self.reference = [
            {line['iter']: line for line in attempt['lines']}
            for (attempt,) in self.journals(self.whole)
        ]
        for number in range(kills):
            moment = (moments or [None] * kills)[number]
            complete = self.checkpoints(self.killed)
            before = len(self.journal(self.killed, 0))
            hit = self.kill_once(moment or self.random_moment())
            if hit is None:
                break  # the run has come to its end
            result.moments[hit] += 1
            self.check_start(before, complete)
            result.cut += self.cut_newest()
        self.finish(self.killed)
        result.compared += self.compare_iterations()
        self.compare_ends()

    def random_moment(self):
        kinds = ('start', 'iteration', 'saving')
        return self.chance.choices(kinds, weights=(1, 4, 5))[0]

    # Processes

    def start(self, place):
        """Start a training, or take it up."""
        config = str(place / 'run.py')
        command = [sys.executable, str(TOOLS / 'train.py'), config]
        if self.ranks > 1:
            script = str(TOOLS / 'dist_train.sh')
            command = ['bash', script, config, str(self.ranks)]
        with open(place / 'output.log', 'ab') as log:
            return subprocess.Popen(
                [*command, '--resume'],
                stdout=log,
                stderr=log,
                env=environment(),
                start_new_session=True,
            )

    def finish(self, place):
        """Let a training run to its end."""
        process = self.start(place)
        try:
            status = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            kill_all([process.pid, *descendants(process.pid)])
            raise DifferenceError(ended('does not end', place)) from None
        if status:
            raise DifferenceError(ended(f'exit status {status}', place))

    def kill_once(self, moment):
        """Start a training and kill it; which moment was hit, None if none."""
        torn_before = self.torn()
        lines_before = len(self.lines(self.killed, 0))
        process = self.start(self.killed)
        if not self.wait_for(moment, process, lines_before):
            return None
        family = [process.pid, *descendants(process.pid)]
        victims = family
        if self.ranks > 1 and self.chance.random() < 0.5:
            # One rank dies; the launcher has to end the others.
            attempts = (j[-1:] for j in self.journals(self.killed))
            pids = [a[0]['pid'] for a in attempts if a]
            victims = [p for p in pids if p in family][-1:] or family
            if self.chance.random() < 0.5:
                victims = [p for p in pids if p in family][:1] or family
        elif self.ranks == 1:
            victims = [process.pid]
        kill_all(victims)
        self.wait_for_end(process)
        if self.torn() - torn_before:
            return 'saving'
        lines = self.lines(self.killed, 0)[lines_before:]
        if not any(b'"begin"' in line for line in lines):
            return 'start'
        return 'iteration' if b'"begin"' in lines[-1] else 'between'

    def wait_for(self, moment, process, lines_before):
        """Wait for a moment; False if the run has ended before."""
        if moment == 'start':
            time.sleep(self.chance.uniform(0, 5))
            return process.poll() is None
        lines = lines_before + self.chance.randrange(2, 60)
        deadline = time.monotonic() + TIMEOUT
        while len(self.lines(self.killed, 0)) < lines or (
            moment == 'saving' and not self.is_saving()
        ):
            if process.poll() is not None:
                if process.returncode:
                    status = process.returncode
                    raise DifferenceError(
                        ended(f'exit status {status}', self.killed)
                    )
                return False
            if time.monotonic() > deadline:
                kill_all([process.pid, *descendants(process.pid)])
                raise DifferenceError(ended('hangs', self.killed))
            time.sleep(0.0003)
        time.sleep(self.chance.uniform(0, PAUSE))
        return True

    def wait_for_end(self, process):
        """No process that could write may be left."""
        try:
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            kill_all([process.pid, *descendants(process.pid)])
            raise DifferenceError(
                'the launcher survives the death of a rank'
            ) from None
        deadline = time.monotonic() + 10
        pids = [j[-1]['pid'] for j in self.journals(self.killed) if j]
        while any(is_alive(pid) for pid in pids):
            if time.monotonic() > deadline:
                kill_all(pids)
                raise DifferenceError('a rank survives')
            time.sleep(0.01)

    # Files

    def is_saving(self):
        """Whether a checkpoint is there in part."""
        for path in self.killed.glob('*.pth'):
            try:
                if path.stat().st_size < BALLAST * 4:
                    return self.is_new(path)
            except FileNotFoundError:
                pass
        return False

    def is_new(self, path):
        # A file that an earlier kill has torn is not being written.
        return (path, path.stat().st_mtime_ns) not in self.known_torn

    known_torn: set = frozenset()

    def torn(self):
        self.known_torn = {
            (path, path.stat().st_mtime_ns)
            for path in self.killed.glob('*.pth')
            if not is_complete(path)
        }
        return self.known_torn

    def checkpoints(self, place):
        """Iteration of each complete checkpoint."""
        paths = [p for p in place.glob('*.pth') if is_complete(p)]
        return {p: load(p)['meta']['iter'] for p in paths}

    def cut_newest(self):
        """Now and then cut the newest of several checkpoints short."""
        complete = self.checkpoints(self.killed)
        if len(complete) < 2 or self.chance.random() > 0.2:
            return False
        newest = max(complete, key=complete.get)
        os.truncate(newest, self.chance.randrange(newest.stat().st_size))
        return True

    def lines(self, place, rank):
        path = place / 'journal' / f'rank{rank}.jsonl'
        if not path.exists():
            return []
        return path.read_bytes().splitlines()

    def journal(self, place, rank):
        """The attempts of a rank: where they started and what they did."""
        attempts = []
        for text in self.lines(place, rank):
            line = json.loads(text)
            if 'start' in line:
                attempts.append(dict(line, lines=[]))
            elif 'iter' in line:
                attempts[-1]['lines'].append(line)
        return attempts

    def journals(self, place):
        return [self.journal(place, rank) for rank in range(self.ranks)]

    # Comparison

    def check_start(self, before, complete):
        """The attempt has to start at one of the checkpoints it found."""
        attempts = self.journal(self.killed, 0)[before:]
        named = (self.killed / 'last_checkpoint').exists()
        for attempt in attempts:
            if attempt['start'] not in (*complete.values(), 0):
                raise DifferenceError(
                    f'starts at iteration {attempt["start"]}'
                )
            if complete and named and not attempt['start'] and before:
                raise DifferenceError('starts anew beside checkpoints')

    def compare_iterations(self):
        count = 0
        for rank, attempts in enumerate(self.journals(self.killed)):
            for attempt in attempts:
                expected = attempt['start']
                for line in attempt['lines']:
                    if line['iter'] != expected:
                        raise DifferenceError(
                            f'iteration {expected} is missing'
                        )
                    compare(line, self.reference[rank].get(expected), rank)
                    expected += 1
                    count += 1
            if expected != max(self.reference[rank]) + 1:
                raise DifferenceError(f'ends at iteration {expected}')
        return count

    def compare_ends(self):
        ours, theirs = (
            load(place / Path((place / 'last_checkpoint').read_text()).name)
            for place in (self.killed, self.whole)
        )
        for key in ('state_dict', 'optimizer', 'param_schedulers', 'bls'):
            if not equal(ours[key], theirs[key]):
                raise DifferenceError(
                    f'`{key}` of the last checkpoint differs'
                )


def compare(line, expected, rank):
    """All that was written down about an iteration."""
    if line == expected:
        return
    keys = [k for k in line if not expected or line[k] != expected[k]]
    raise DifferenceError(
        f'iteration {line["iter"]} of rank {rank}: {keys} differ'
    )


def equal(ours, theirs):
    """Whether two values are the same to the bit."""
    if torch.is_tensor(ours):
        return torch.equal(ours, theirs)
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(
            equal(ours[key], theirs[key]) for key in ours
        )
    if isinstance(ours, (list, tuple)):
        return len(ours) == len(theirs) and all(map(equal, ours, theirs))
    return ours == theirs


def load(path):
    return torch.load(path, map_location='cpu', weights_only=False)
