# Digits among clutter, and batches mixed as in the recipes of DeiT and Swin,
# see docs/evidence.md.
_base_ = './resnet_mnist-clutter.py'

model = dict(
    head=dict(loss=dict(type='CrossEntropyLoss', use_soft=True)),
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='CutMix', alpha=1.0),
        ]
    ),
)
