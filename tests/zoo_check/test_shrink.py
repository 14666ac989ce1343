"""Making a config small."""

from mmengine.config import Config

from bls_mm.zoo_check.scale import Scale
from bls_mm.zoo_check.shrink import small_settings


def test_dataset_is_replaced_below_its_wrappers():
    image = dict(type='BaseDataset', pipeline=[dict(type='Unknown')])
    cfg = Config(
        dict(
            train_dataloader=dict(
                batch_size=4,
                sampler=dict(type='DefaultSampler'),
                dataset=dict(
                    type='RepeatDataset',
                    times=40000,
                    dataset=dict(type='ConcatDataset', datasets=[image] * 3),
                ),
            ),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=20000),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        )
    )
    settings = small_settings(cfg)
    dataset = settings['train_dataloader']['dataset']
    assert len(dataset) == 40000 * 21
    assert [dataset[i]['number'] for i in (0, 20, 21)] == [0, 20, 0]
    assert settings['train_cfg']['max_iters'] == 21  # 4 passes of 5.25


def test_schedule_is_shortened_in_proportion():
    warm_up = dict(type='LinearLR', by_epoch=False, begin=0, end=500)
    steps = dict(type='MultiStepLR', begin=5, end=12, milestones=[8, 11])
    tail = dict(type='ConstantLR', begin=11, end=12)
    scale = Scale(dict(max_epochs=12), 10, [warm_up, steps, tail])
    assert scale.cfg == dict(max_epochs=4)
    assert scale.scheduler(warm_up)['end'] == 10
    assert scale.scheduler(steps) == dict(
        type='MultiStepLR', begin=2, end=4, milestones=[3, 4]
    )
    assert scale.scheduler(tail) == dict(type='ConstantLR', begin=3, end=4)
