_base_ = './plane-sweep_1xb8-12e_rendered.py'
# The base has a `custom_imports` of its own, which this file must not replace.
# So the types are given with their module.
custom_hooks = [
    dict(
        type='bls_mm.BLSHook',
        # One of several loss terms, or some: the rest stays out of the score.
        loss_key=['loss_depth', 'loss_coarse'],
    )
]
train_dataloader = dict(
    sampler=dict(type='bls_mm.BLSSampler', pruner=dict(type='InfoBatch'))
)
