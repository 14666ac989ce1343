# As many visits as 10 epochs of 5,000 images, but of 1,000 images.
_base_ = './resnet18-narrow_1xb64-10e_cifar10-5k.py'

data_root = 'data/cifar10-1k'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
param_scheduler = dict(total_steps=50)
train_cfg = dict(max_epochs=50, val_interval=50)
