"""Ranks on a machine without a GPU, which MMEngine cannot start by itself."""

import torch
from mmengine.device import get_device
from mmengine.dist import init_dist
from mmengine.utils.dl_utils import set_multi_processing


def use_gloo(cfg):
    """Let the ranks of a run find each other, and their models be wrapped.

    Does nothing for a single process or on a machine with an accelerator.
    Changes ``cfg`` in place.
    """
    if cfg.launcher == 'none' or get_device() != 'cpu':
        return
    settings = cfg.get('env_cfg') or {}
    set_multi_processing(**settings.get('mp_cfg', {}), distributed=True)
    group = {**settings.get('dist_cfg', {}), 'backend': 'gloo'}
    # MMEngine chooses a GPU first, whatever the backend.
    set_device, torch.cuda.set_device = torch.cuda.set_device, lambda _: None
    try:
        init_dist(cfg.launcher, **group)
    finally:
        torch.cuda.set_device = set_device
    if 'runner_type' in cfg:
        cfg.setdefault('strategy', dict(type='DDPStrategy'))
        use_no_device(cfg.strategy, 'model_wrapper', cfg)
    else:
        use_no_device(cfg, 'model_wrapper_cfg', cfg)


def use_no_device(parent, key, cfg):
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
