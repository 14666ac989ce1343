"""A training in a process that is forked, so that it starts in no time."""

import multiprocessing
import os
import subprocess

import ranks  # noqa: F401  says what is imported before a fork
import torch

from bls_mm.commands.train import main


class ForkedTraining:
    """What ``subprocess.Popen`` is of ``tools/train.py --resume``.

    Args:
        config (Path): The config.
        log (Path): Where the output goes.
    """

    def __init__(self, config, log):
        context = multiprocessing.get_context('forkserver')
        self._process = context.Process(target=_train, args=(config, log))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self.returncode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired('training', timeout)
        return self.returncode


def _train(config, log):
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    torch.set_num_threads(1)
    main([str(config), '--resume'])
