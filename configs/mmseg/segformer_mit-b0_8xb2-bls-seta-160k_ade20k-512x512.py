_base_ = str(
    __import__('bls_mm.zoo').zoo.zoo_path(
        'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'
    )
)

custom_imports = dict(imports=['bls_mm'], allow_failed_imports=False)
train_dataloader = dict(
    sampler=dict(type='BLSSampler', pruner=dict(type='SeTa')),
)
custom_hooks = [dict(type='BLSHook')]
