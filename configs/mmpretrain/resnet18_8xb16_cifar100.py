# ResNet-18 with the schedule of upstream's ResNet-50 on CIFAR-100.
_base_ = 'mmpretrain::resnet/resnet50_8xb16_cifar100.py'

model = dict(backbone=dict(depth=18), head=dict(in_channels=512))
