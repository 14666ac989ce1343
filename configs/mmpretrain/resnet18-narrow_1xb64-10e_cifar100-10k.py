_base_ = './resnet18-narrow_1xb64-10e_cifar10-5k.py'

model = dict(head=dict(num_classes=100))
data_root = 'data/cifar100-10k'
data_preprocessor = dict(
    num_classes=100,
    mean=[129.304, 124.070, 112.434],
    std=[68.170, 65.392, 70.418],
)
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
