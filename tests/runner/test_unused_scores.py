"""A checkpoint with scores, in a run that keeps none."""

import pytest
from mmengine.config import Config
from mmengine.registry import HOOKS
from toy import EVERY_EPOCH, make_config, train

from bls_mm import BLSHook
from bls_mm.runner.build import build_runner


@HOOKS.register_module(force=True)
class DerivedHook(BLSHook):
    """A hook of one's own, which keeps scores as well."""


@pytest.mark.parametrize(
    'hooks', [[], [dict(type='BLSHook')], [dict(type='DerivedHook')]]
)
def test_run_without_the_hook_says_that_scores_are_unused(
    tmp_path, hooks, capfd
):
    saving = dict(
        train_cfg__max_epochs=2, default_hooks__checkpoint=EVERY_EPOCH
    )
    train(tmp_path, **saving)
    cfg = Config(
        make_config(
            tmp_path,
            custom_hooks=hooks,
            resume=True,
            train_cfg__max_epochs=3,
            train_dataloader__sampler__pruner=None,
            experiment_name=f'unused{len(str(hooks))}',
        )
    )
    runner = build_runner(cfg)
    runner.train()
    assert runner.epoch == 3
    said = 'has scores, but this run has no BLSHook' in capfd.readouterr().err
    log = ''.join(p.read_text() for p in tmp_path.rglob('*.log'))
    assert (said or 'this run has no BLSHook' in log) is not bool(hooks)
