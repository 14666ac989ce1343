# Digits among pieces of other digits, made by
#   python tools/dataset_converters/prepare_mnist.py --clutter --out data/mnist5k-clutter
# A task that is hard enough to tell pruning rules apart, see docs/evidence.md.
_base_ = './resnet_mnist.py'

data_root = 'data/mnist5k-clutter'
train_pipeline = [
    dict(type='LoadImageFromFile', color_type='grayscale'),
    dict(type='RandomCrop', crop_size=28, padding=2),
    dict(type='Rotate', angle=12.0, prob=1.0, random_negative_prob=0.5),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
