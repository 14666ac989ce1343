"""Configs of the zoo, made small enough for a test, and what a run did."""

from itertools import count
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import Hook
from toy import record_scored

_NUMBER = count()


def shrink(cfg, change):
    """A config with all of its parts changed, the innermost first.

    Args:
        cfg (Config): The config. Weights that would be downloaded go.
        change (callable): Called with each dict of it, which it may change.
    """
    return Config(_shrunk(cfg.to_dict(), change))


def _shrunk(node, change):
    if isinstance(node, (list, tuple)):
        return type(node)(_shrunk(item, change) for item in node)
    if not isinstance(node, dict):
        return node
    if node.get('type') == 'Pretrained':
        return None
    node = {key: _shrunk(value, change) for key, value in node.items()}
    for key in ('pretrained', 'load_from'):
        if isinstance(node.get(key), str):
            node[key] = None
    if node.get('type') == 'SyncBN':
        node['type'] = 'BN'
    change(node)
    return node


def replace(node, settings):
    """Set what has the value that it has in the zoo.

    Args:
        node (dict): A part of a config, changed in place.
        settings (dict): Old value, None for any, and new value by name.
    """
    for key in node.keys() & settings.keys():
        old, new = settings[key]
        if old is None or node[key] == old:
            node[key] = new


def resize(value, size):
    """A number, or lists of them, with ``size`` called for each."""
    if isinstance(value, (list, tuple)):
        return type(value)(resize(item, size) for item in value)
    return size(value) if type(value) is int else value


def settle(cfg, work_dir, batch_size):
    """Settings of any test: a folder, no workers, few words in the log."""
    cfg.merge_from_dict(
        dict(
            work_dir=str(work_dir),
            log_level='WARNING',
            randomness=dict(seed=0),
            train_dataloader=dict(batch_size=batch_size, pin_memory=False),
        )
    )
    for name in ('train_dataloader', 'val_dataloader'):
        if cfg.get(name):
            cfg[name].update(num_workers=0, persistent_workers=False)
    name_run(cfg)


def name_run(cfg):
    """A name of its own: MMEngine's hubs and visualizers are global."""
    cfg.experiment_name = f'small{next(_NUMBER)}'
    if 'visualizer' in cfg:
        cfg.visualizer.name = cfg.experiment_name


class Visits(Hook):
    """Write down which images reached the model, and what was scored."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.images, self.scored = [], []
        self.rates, self.losses = [], []

    def before_train(self, runner):
        record_scored(runner, self.scored)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        samples = data_batch['data_samples']
        self.images.append([int(Path(s.img_path).stem) for s in samples])
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.losses.append(outputs['loss'].item())
