_base_ = 'mmpretrain::mobilenet_v3/mobilenet-v3-small-050_8xb128_in1k.py'

custom_imports = dict(imports=['bls_mm'], allow_failed_imports=False)
train_dataloader = dict(
    sampler=dict(type='BLSSampler', pruner=dict(type='InfoBatch')),
)
custom_hooks = [dict(type='BLSHook')]
