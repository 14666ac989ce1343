# UPerNet of the zoo on scenes of MNIST digits, see tools/dataset_converters/prepare_scenes.py.
# Trains from scratch in about a minute and a half on one CPU core.

# What `mmseg::` means, which MMEngine does not resolve in the onedl family.
_base_ = str(
    __import__('bls_mm.zoo').zoo.zoo_path(
        'mmseg::upernet/upernet_r18_4xb4-80k_ade20k-512x512.py'
    )
)

# model settings: a fraction of the width, nothing pretrained
norm_cfg = dict(type='BN', requires_grad=True)
class_weight = [0.1] + 5 * [1.0]  # most pixels are background
crop_size = (96, 96)
data_preprocessor = dict(size=crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    pretrained=None,
    backbone=dict(base_channels=16, stem_channels=16, norm_cfg=norm_cfg),
    decode_head=dict(
        in_channels=[16, 32, 64, 128],
        channels=32,
        num_classes=6,
        norm_cfg=norm_cfg,
        loss_decode=dict(class_weight=class_weight),
    ),
    auxiliary_head=dict(
        in_channels=64,
        channels=32,
        num_classes=6,
        norm_cfg=norm_cfg,
        loss_decode=dict(class_weight=class_weight),
    ),
)

# dataset settings
data_root = 'data/scenes'
metainfo = dict(
    classes=('background', *'01234'),
    palette=[[40 * i, 40 * i, 40 * i] for i in range(6)],
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='PackSegInputs'),  # no flip: mirrored digits are none
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(
        _delete_=True,
        type='BaseSegDataset',
        data_root=data_root,
        data_prefix=dict(
            img_path='images/train', seg_map_path='semantic/train'
        ),
        img_suffix='.png',
        metainfo=metainfo,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        _delete_=True,
        type='BaseSegDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/test', seg_map_path='semantic/test'),
        img_suffix='.png',
        metainfo=metainfo,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

# schedule settings
train_cfg = dict(max_iters=1000, val_interval=1000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type='PolyLR',
        eta_min=1e-5,
        power=0.9,
        begin=100,
        end=1000,
        by_epoch=False,
    ),
]
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.003, weight_decay=0.01)
)

# runtime settings
default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(interval=500, max_keep_ckpts=1),
)
randomness = dict(seed=0)
