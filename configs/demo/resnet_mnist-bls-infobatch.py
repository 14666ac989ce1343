_base_ = './resnet_mnist.py'
custom_imports = dict(imports=['bls_mm'], allow_failed_imports=False)
custom_hooks = [dict(type='BLSHook')]
train_dataloader = dict(sampler=dict(type='BLSSampler'))
