_base_ = './unet-s5-d16_fcn_1xb4-1k_scenes-96x96.py'
custom_imports = dict(imports=['bls_mm'], allow_failed_imports=False)
custom_hooks = [dict(type='BLSHook')]
train_dataloader = dict(sampler=dict(type='BLSSampler'))
