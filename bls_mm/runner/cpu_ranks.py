"""Ranks on a machine without a GPU, which MMEngine cannot start alone."""

from typing import Any, Dict

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import init_dist
from mmengine.utils.dl_utils import set_multi_processing


def use_gloo(cfg: Config) -> None:
    """Start the process group with gloo if there is no accelerator.

    Afterwards the models of the ranks can be wrapped. Does nothing for a
    single process or on a machine with an accelerator.

    Args:
        cfg (Config): Config of the run, with its ``launcher``. Gets a model
            wrapper that names no GPU, in place.
    """
    if cfg.launcher == 'none' or get_device() != 'cpu':
        return
    settings = cfg.get('env_cfg') or {}
    set_multi_processing(**settings.get('mp_cfg', {}), distributed=True)
    group = {**settings.get('dist_cfg', {}), 'backend': 'gloo'}
    # MMEngine chooses a GPU first, whatever the backend.
    set_device = torch.cuda.set_device
    torch.cuda.set_device = lambda device: None
    try:
        init_dist(cfg.launcher, **group)
    finally:
        torch.cuda.set_device = set_device
    if 'runner_type' in cfg:
        cfg.setdefault('strategy', dict(type='DDPStrategy'))
        _use_no_device(cfg.strategy, 'model_wrapper', cfg)
    else:
        _use_no_device(cfg, 'model_wrapper_cfg', cfg)


def _use_no_device(parent: Dict[str, Any], key: str, cfg: Config) -> None:
    """Name no GPU to DistributedDataParallel; other wrappers are left."""
    if parent.get(key) is None:
        # What MMEngine sets without a wrapper in the config.
        parent[key] = dict(
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
    wrapper = parent[key]
    wrapper.setdefault('type', 'MMDistributedDataParallel')
    if 'DistributedDataParallel' in str(wrapper['type']):
        wrapper.setdefault('device_ids', None)
