# UNet with an FCN head, as the zoo has it for the 20 images of DRIVE, on
# scenes of MNIST digits, see tools/prepare_scenes.py. Trains from scratch in
# about two minutes on two CPU cores.

# What `mmseg::unet/...` means; in the onedl family MMEngine does not find it.
_base_ = str(
    __import__('bls_mm.config').config.zoo_path(
        'mmseg::unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64.py'
    )
)

# model settings: an eighth of the width
norm_cfg = dict(type='BN', requires_grad=True)
crop_size = (96, 96)
data_preprocessor = dict(size=crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(base_channels=8, norm_cfg=norm_cfg),
    decode_head=dict(
        in_channels=8, channels=16, num_classes=11, norm_cfg=norm_cfg
    ),
    auxiliary_head=dict(
        in_channels=16, channels=16, num_classes=11, norm_cfg=norm_cfg
    ),
    test_cfg=dict(_delete_=True, mode='whole'),
)

# dataset settings
dataset_type = 'BaseSegDataset'
data_root = 'data/scenes'
metainfo = dict(
    classes=('background', *'0123456789'),
    palette=[[20 * i, 20 * i, 20 * i] for i in range(11)],
)
scale = (128, 96)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomResize',
        scale=scale,
        ratio_range=(1.0, 1.25),
        keep_ratio=True,
    ),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    # The base repeats its dataset 40,000 times. A score belongs to an image.
    dataset=dict(
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            data_prefix=dict(
                img_path='images/train', seg_map_path='semantic/train'
            ),
            img_suffix='.png',
            seg_map_suffix='.png',
            metainfo=metainfo,
            pipeline=train_pipeline,
        )
    ),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/test', seg_map_path='semantic/test'),
        img_suffix='.png',
        seg_map_suffix='.png',
        metainfo=metainfo,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(iou_metrics=['mIoU'])
test_evaluator = val_evaluator

# schedule settings
train_cfg = dict(max_iters=1000, val_interval=250)
param_scheduler = [
    dict(
        type='PolyLR',
        eta_min=1e-4,
        power=0.9,
        begin=0,
        end=1000,
        by_epoch=False,
    )
]
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.002, weight_decay=0.01)
)

# runtime settings
default_hooks = dict(
    logger=dict(interval=25),
    checkpoint=dict(interval=250, max_keep_ckpts=1),
)
randomness = dict(seed=0)
