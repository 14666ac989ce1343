_base_ = 'mmdet::yolox/yolox_s_8xb8-300e_coco.py'

custom_imports = dict(imports=['bls_mm'], allow_failed_imports=False)
train_dataloader = dict(
    sampler=dict(type='BLSSampler', pruner=dict(type='InfoBatch')),
)
custom_hooks = [*_base_.custom_hooks, dict(type='BLSHook')]
