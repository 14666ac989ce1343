_base_ = 'mmocr::textdet/dbnet/dbnet_resnet18_fpnc_1200e_icdar2015.py'

custom_imports = dict(imports=['bls_mm'], allow_failed_imports=False)
train_dataloader = dict(
    sampler=dict(type='BLSSampler', pruner=dict(type='InfoBatch')),
)
custom_hooks = [dict(type='BLSHook')]
