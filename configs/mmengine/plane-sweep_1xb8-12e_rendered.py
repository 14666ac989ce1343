# Depth from two rendered views. Belongs to no OpenMMLab package: a plain
# BaseModel, tensors for data, torch's default_collate.
custom_imports = dict(
    imports=['configs.mmengine.plane_sweep'], allow_failed_imports=False
)

model = dict(type='PlaneSweep')
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    dataset=dict(type='RenderedPairs', size=1200),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=0,
    dataset=dict(type='RenderedPairs', size=300, seed=1),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
val_evaluator = dict(type='DisparityError')

optim_wrapper = dict(optimizer=dict(type='Adam', lr=2e-3))
param_scheduler = dict(
    type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=4)
val_cfg = dict()

default_scope = 'mmengine'
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=1),
)
randomness = dict(seed=0)
