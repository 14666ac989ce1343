_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'

custom_imports = dict(imports=['bls_mm'], allow_failed_imports=False)
train_dataloader = dict(
    sampler=dict(type='BLSSampler', pruner=dict(type='InfoBatch')),
)
custom_hooks = [dict(type='BLSHook')]
