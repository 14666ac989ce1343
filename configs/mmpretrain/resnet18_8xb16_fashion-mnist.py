# ResNet-18 with upstream's schedule for CIFAR-10 on Fashion-MNIST, whose IDX files are made into folders by
#   python tools/dataset_converters/prepare_classification.py SOURCE --out data/fashion-mnist
_base_ = 'mmpretrain::resnet/resnet18_8xb16_cifar10.py'

model = dict(backbone=dict(in_channels=1))
data_root = 'data/fashion-mnist'
data_preprocessor = dict(mean=[72.94], std=[90.02])
train_pipeline = [
    dict(type='LoadImageFromFile', color_type='grayscale'),
    dict(type='RandomCrop', crop_size=28, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', color_type='grayscale'),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_root=data_root,
        data_prefix='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_root=data_root,
        data_prefix='test',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
