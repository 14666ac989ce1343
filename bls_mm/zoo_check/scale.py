"""Numbers of epochs and iterations of a run, made smaller."""

from typing import Any, Dict, List

from .stubs import StubMix

PASSES = 4  # the first and the last are not pruned
# Of schedulers, what counts epochs or iterations.
NUMBERS = ('begin', 'end', 'T_max', 'step_size', 'total_steps', 'interval')
# Of hooks, what counts epochs, and what counts iterations.
EPOCHS = (
    'disable_after_epoch',
    'num_last_epochs',
    'switch_epoch',
    'warmup_epochs',
)
ITERATIONS = ('warmup_mim_iter', 'warmup_min_iter')


class Scale:
    """How much shorter a run gets: its numbers of epochs and iterations.

    Args:
        cfg (dict): ``train_cfg``.
        pass_length (float): Iterations of a pass over the stubs.
        schedulers (list[dict]): ``param_scheduler``.

    Attributes:
        cfg (dict): ``train_cfg`` of the short run.
    """

    def __init__(
        self,
        cfg: Dict[str, Any],
        pass_length: float,
        schedulers: List[Dict[str, Any]],
    ) -> None:
        self.cfg = dict(cfg)
        if 'max_iters' in cfg:
            self.cfg['max_iters'] = round(PASSES * pass_length)
            self._iters = self.cfg['max_iters'] / cfg['max_iters']
            self._epochs = 1.0
        else:
            self.cfg['max_epochs'] = PASSES
            self._epochs = PASSES / cfg['max_epochs']
            # Iterations are those of a warm-up, within the first epoch.
            warm_up = [s.get('end', 0) for s in schedulers if not _by_epoch(s)]
            self._iters = pass_length / max([1, *warm_up])

    def __call__(self, value: int, by_epoch: bool) -> int:
        """Shorten a number of epochs or iterations."""
        if not 0 < value < 1e8:  # MMEngine's infinity is 1e9
            return value
        return max(
            1, round(value * (self._epochs if by_epoch else self._iters))
        )

    def scheduler(self, cfg: Dict[str, Any]) -> Dict[str, Any]:
        """Shorten a parameter scheduler."""
        cfg, by_epoch = dict(cfg), _by_epoch(cfg)
        for key in NUMBERS:
            if cfg.get(key) is not None:
                cfg[key] = self(cfg[key], by_epoch)
        for key in ('milestones', 'periods'):
            if key in cfg:
                cfg[key] = [self(value, by_epoch) for value in cfg[key]]
        if 'begin' in cfg and 'end' in cfg:
            cfg['begin'] = min(cfg['begin'], cfg['end'] - 1)
        return cfg

    def hook(self, cfg: Dict[str, Any]) -> Dict[str, Any]:
        """Move the epoch at which a hook acts."""
        cfg = dict(cfg)
        for key in EPOCHS:
            if key in cfg:
                cfg[key] = min(self(cfg[key], True), PASSES - 1)
        for key in ITERATIONS:
            if key in cfg:
                cfg[key] = self(cfg[key], False)
        for key in ('max_epochs', 'total_epochs'):
            if key in cfg:
                cfg[key] = self(cfg[key], True)
        if 'switch_pipeline' in cfg:
            cfg['switch_pipeline'] = [dict(type=StubMix)]
        for key in ('new_train_dataset', 'new_train_pipeline'):
            if key in cfg:  # the same stubs
                cfg[key] = None
        if 'schedule' in cfg:
            cfg['schedule'] = [
                dict(recipe, action_epoch=epoch)
                for epoch, recipe in enumerate(cfg['schedule'], 1)
            ]
        return cfg


def _by_epoch(scheduler: Dict[str, Any]) -> bool:
    return scheduler.get('by_epoch', True)
