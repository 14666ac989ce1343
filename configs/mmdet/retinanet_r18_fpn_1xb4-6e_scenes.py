# RetinaNet of the zoo on scenes of MNIST digits, see tools/dataset_converters/prepare_scenes.py.
# Trains from scratch in about a minute and a half on one CPU core.
_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'

# model settings: a fraction of the width, nothing pretrained, small objects
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    backbone=dict(
        base_channels=16,
        stem_channels=16,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(
        in_channels=[16, 32, 64, 128],
        out_channels=64,
        num_outs=3,
        norm_cfg=norm_cfg,
    ),
    bbox_head=dict(
        num_classes=5,
        in_channels=64,
        feat_channels=64,
        stacked_convs=1,
        norm_cfg=dict(type='GN', num_groups=8),  # levels share the head
        anchor_generator=dict(
            octave_base_scale=3, ratios=[1.0, 2.0], strides=[8, 16, 32]
        ),
    ),
)

# dataset settings
data_root = 'data/scenes/'
metainfo = dict(classes=tuple('01234'))
scale = (128, 96)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='PackDetInputs'),  # no flip: mirrored digits are none
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=(
            'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'
        ),
    ),
]  # fmt: skip
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/train.json',
        data_prefix=dict(img='images/train/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/test.json',
        data_prefix=dict(img='images/test/'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/test.json')
test_evaluator = val_evaluator

# schedule settings
train_cfg = dict(max_epochs=6, val_interval=6)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=6,
        T_max=6,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.002, weight_decay=0.01)
)

# runtime settings
default_hooks = dict(
    logger=dict(interval=50), checkpoint=dict(max_keep_ckpts=1)
)
randomness = dict(seed=0)
