_base_ = 'mmpretrain::deit/deit-tiny_4xb256_in1k.py'

custom_imports = dict(imports=['bls_mm'], allow_failed_imports=False)
train_dataloader = dict(
    sampler=dict(type='BLSSampler', pruner=dict(type='InfoBatch')),
)
custom_hooks = [dict(type='BLSHook')]
