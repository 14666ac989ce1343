"""Samplers that shard by themselves, on two ranks of a process group."""

import pytest
import torch
from ranks import train_on
from sharding import CASES, REFUSED, SIZE, Sharding, draw


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    return train_on(2, tmp_path_factory.mktemp('ranks') / 'run', target=draw)


@pytest.mark.parametrize('name', CASES)
def test_ranks_share_all_that_the_sampler_would_yield_alone(drawn, name):
    for epoch in range(2):
        (first, size), (second, same) = (each[name][epoch] for each in drawn)
        assert len(first) == len(second) == size == same == SIZE // 2
        assert sorted(first + second) == list(range(SIZE))
    assert drawn[0][name][0] != drawn[0][name][1]


@pytest.mark.parametrize('name', REFUSED)
def test_sampler_whose_order_differs_between_ranks_is_refused(drawn, name):
    for each in drawn:
        assert REFUSED[name].__name__ in each[name]
        assert 'yields different indices on different ranks' in each[name]


def test_ranks_are_themselves_again_afterwards(drawn):
    assert [each['rank'] for each in drawn] == [
        ((0, 2), 0, '0'),
        ((1, 2), 1, '1'),
    ]


def test_run_with_a_sharding_sampler_visits_all_of_the_data(tmp_path):
    first, second = train_on(
        2,
        tmp_path / 'run',
        train_dataloader__sampler=dict(
            type='BLSSampler', inner=dict(type=Sharding)
        ),
        train_cfg=dict(by_epoch=True, max_epochs=3),
    )
    trained = [
        number
        for result in (first, second)
        for epoch, batch in zip(result['epochs'], result['numbers'])
        for number in batch
        if epoch == 0
    ]
    assert sorted(trained) == list(range(40))
    both = sum(len(b) for r in (first, second) for b in r['numbers'])
    assert first['visited'] == both < 3 * 40
    assert torch.equal(first['scores'], second['scores'])
