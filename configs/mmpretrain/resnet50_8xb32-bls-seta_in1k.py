_base_ = 'mmpretrain::resnet/resnet50_8xb32_in1k.py'

custom_imports = dict(imports=['bls_mm'], allow_failed_imports=False)
train_dataloader = dict(
    sampler=dict(type='BLSSampler', pruner=dict(type='SeTa')),
)
custom_hooks = [dict(type='BLSHook')]
