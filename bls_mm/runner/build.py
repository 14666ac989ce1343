"""The config and the runner of a training, as `bls_mm train` makes them."""

from pathlib import Path
from typing import Any, Dict, Optional, Union

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from bls_mm.checkpoint import find_checkpoint, state
from bls_mm.checkpoint.trusted import trust_mmengine_classes
from bls_mm.config import add_hook, add_pruning
from bls_mm.config.options import fill_dataloaders, use_amp, use_auto_scale_lr
from bls_mm.config.pruning import is_hook, read_pruner
from bls_mm.passes.budget import Budget
from bls_mm.passes.target import check_target
from bls_mm.zoo import load_config


def make_config(
    config: Union[str, Path],
    *,
    prune: Optional[str] = None,
    prune_ratio: Optional[float] = None,
    target_saving: Optional[float] = None,
    score: Optional[str] = None,
    work_dir: Optional[str] = None,
    resume: Optional[str] = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    cfg_options: Optional[Dict[str, Any]] = None,
    launcher: str = 'none',
) -> Config:
    """Load a config and change it as the options of ``bls_mm train`` do.

    Args:
        config (str or Path): File, or zoo path.
        prune (str, optional): The pruner, see
            :func:`bls_mm.config.add_pruning`, as are the next three.
            Defaults to None, the config as it stands.
        prune_ratio (float, optional): Setting of the pruner.
            Defaults to None.
        target_saving (float, optional): Setting of the pruner.
            Defaults to None.
        score (str, optional): The score. Defaults to None.
        work_dir (str, optional): Where logs and checkpoints go. Defaults to
            None, that of the config or ``work_dirs/CONFIG``.
        resume (str, optional): Checkpoint to continue from; ``'auto'`` is
            the latest of the work dir. Defaults to None, what the config
            says.
        amp (bool): Whether to train in mixed precision. Defaults to False.
        auto_scale_lr (bool): Whether to scale the learning rate to the batch
            size. Defaults to False.
        cfg_options (dict, optional): Settings that override the config.
            Defaults to None.
        launcher (str): Who starts the processes of a distributed run.
            Defaults to 'none'.

    Returns:
        Config: The config to build a runner from.

    Raises:
        FileNotFoundError: If there is no such config.
        TypeError: If a setting is of the wrong type.
        ValueError: If a setting cannot be used, or there is no checkpoint to
            resume from that can be read.
    """
    cfg = load_config(config)
    cfg.launcher = launcher
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', Path(config).stem))
    if amp:
        use_amp(cfg)
    if auto_scale_lr:
        use_auto_scale_lr(cfg)
    if resume is not None:  # else `resume` of the config holds
        cfg.resume = True
        cfg.load_from = None if resume == 'auto' else resume
    if prune is not None:
        cfg = add_pruning(cfg, prune, prune_ratio, score, target_saving)
        add_hook(cfg, 'BLSVisualizationHook')
    if cfg_options is not None:
        cfg.merge_from_dict(cfg_options)
    fill_dataloaders(cfg)
    _check_target(cfg)
    if cfg.get('resume') and cfg.get('load_from') is None:
        cfg.load_from = find_checkpoint(cfg.work_dir)
    return cfg


def _check_target(cfg: Config) -> None:
    """Refuse a target that no run of so many epochs can reach.

    That of a run by iterations depends on the data, and is checked with them.
    """
    epochs = (cfg.get('train_cfg') or {}).get('max_epochs')
    loader = cfg.get('train_dataloader')
    if isinstance(loader, dict) and isinstance(epochs, int) and epochs > 0:
        check_target(read_pruner(cfg), Budget(epochs, 1), 10**6)


class UnusedScores(Hook):
    """Warn that a run without BLSHook ignores the scores of a checkpoint."""

    def after_load_checkpoint(
        self, runner: Any, checkpoint: Dict[str, Any]
    ) -> None:
        if state.KEY in checkpoint:
            runner.logger.warning(
                'BLS: the checkpoint has scores, but this run has no BLSHook. '
                'They are ignored, and its checkpoints will not contain them.'
            )


def build_runner(cfg: Config) -> Any:
    """Build the runner that the config asks for.

    Args:
        cfg (Config): What :func:`make_config` returned.

    Returns:
        Runner: A runner, of the type that ``runner_type`` names.
    """
    trust_mmengine_classes()
    if 'runner_type' in cfg:
        runner = RUNNERS.build(cfg)
    else:
        runner = Runner.from_cfg(cfg)
    if not any(is_hook(hook, 'BLSHook') for hook in runner.hooks):
        runner.register_hook(UnusedScores())
    return runner
