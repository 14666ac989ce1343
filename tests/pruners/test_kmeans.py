"""One-dimensional k-means against scikit-learn and against brute force."""

from itertools import combinations

import pytest
import torch

from bls_mm.pruners.kmeans import _GRID, _widest_gaps, kmeans_cuts


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(size, seed=0):
    return torch.randn(size, generator=seeded(seed))


def mixture(size):
    third = size // 3
    parts = [normal(third), 5 + 0.2 * normal(third, 1), 20 + normal(third, 2)]
    return torch.cat(parts)


def with_small_clusters(size):
    """Far apart, but with fewer samples than an even grid would notice."""
    few = torch.tensor([1.0, 1.01, 1.02, 2, 2.01, 3, 5000])
    return torch.cat([0.001 * normal(size - len(few)), few])


VALUES = {
    'normal': normal,
    'log-normal': lambda n: normal(n).mul(1.5).exp(),
    'heavy tailed': lambda n: normal(n) / normal(n, 1),
    'uniform': lambda n: torch.rand(n, generator=seeded()),
    'mixture': mixture,
    'small clusters': with_small_clusters,
    'heavy ties': lambda n: normal(n).mul(3).round().div(3),
    'mostly zero': lambda n: normal(n).clamp(min=0.8) - 0.8,
    'far from zero': lambda n: 1000 + 0.01 * normal(n),
    'negative': lambda n: -normal(n).exp(),
    'few distinct values': lambda n: torch.tensor([0, 1, 1.1, 5, 9, 70.0])[
        torch.randint(6, (n,), generator=seeded())
    ],
}


def group_numbers(values, cuts):
    """As the docstring says: a value equal to a cut is above it."""
    return (values[:, None] >= cuts[None, :]).sum(1)


def within_cluster_sum(values, groups):
    values, total = values.double(), 0.0
    for group in groups.unique():
        members = values[groups == group]
        total += float((members - members.mean()).square().sum())
    return total


def sklearn_sum(values, num_groups):
    cluster = pytest.importorskip('sklearn.cluster')
    points = (values.double() - values.double().mean())[:, None].numpy()
    model = cluster.KMeans(num_groups, n_init=20, random_state=0, tol=0)
    labels = torch.from_numpy(model.fit(points).labels_)
    return within_cluster_sum(values, labels)


@pytest.mark.parametrize('name', VALUES)
@pytest.mark.parametrize('num_groups', [2, 5])
def test_kmeans_is_as_good_as_scikit_learn(name, num_groups):
    values = VALUES[name](3000)
    cuts = kmeans_cuts(values, num_groups)
    ours = within_cluster_sum(values, group_numbers(values, cuts))
    assert ours <= sklearn_sum(values, num_groups) * (1 + 1e-4)


def brute_force_sum(values, num_groups):
    """The least sum over all ways to split the sorted values."""
    ordered = values.sort().values
    size = len(ordered)
    sums = []
    for cuts in combinations(range(1, size), num_groups - 1):
        groups = (torch.arange(size)[:, None] >= torch.tensor(cuts)).sum(1)
        sums.append(within_cluster_sum(ordered, groups))
    return min(sums)


@pytest.mark.parametrize('num_groups', [2, 3, 4])
@pytest.mark.parametrize('seed', range(5))
def test_kmeans_is_optimal_when_there_are_few_values(seed, num_groups):
    for values in (normal(8, seed), normal(8, seed).mul(2).exp()):
        cuts = kmeans_cuts(values, num_groups)
        assert len(cuts) == num_groups - 1
        ours = within_cluster_sum(values, group_numbers(values, cuts))
        least = brute_force_sum(values, num_groups)
        assert ours == pytest.approx(least, rel=1e-6)


@pytest.mark.parametrize(
    'values, num_groups, expected',
    [
        ([1, 2, 9, 10], 2, [0, 0, 1, 1]),
        ([10, 1, 9, 2], 2, [1, 0, 1, 0]),
        ([0, 0, 0, 0, 0, 0, 7], 2, [0, 0, 0, 0, 0, 0, 1]),
        ([-5, -5, 0, 0, 5, 5], 3, [0, 0, 1, 1, 2, 2]),
        ([0, 1, 1e6, 1e6 + 1], 2, [0, 0, 1, 1]),
        ([1e-12, 2e-12, 9e-12], 2, [0, 0, 1]),
        ([3, 1, 2], 3, [2, 0, 1]),
        ([3, 1, 2], 1, [0, 0, 0]),
        ([3, 1, 2], 8, [2, 0, 1]),
        ([4, 4, 4], 5, [0, 0, 0]),
        ([4, 6, 4], 5, [0, 1, 0]),
        ([7], 1, [0]),
        ([7], 5, [0]),
    ],
)
def test_kmeans_finds_the_clear_groups(values, num_groups, expected):
    values = torch.tensor(values, dtype=torch.float32)
    cuts = kmeans_cuts(values, num_groups)
    assert group_numbers(values, cuts).tolist() == expected


def test_kmeans_finds_small_clusters_beside_a_large_one():
    values = with_small_clusters(100_000)
    groups = group_numbers(values, kmeans_cuts(values, 5))
    assert groups[-7:].tolist() == [1, 1, 1, 2, 2, 3, 4]
    assert (groups[:-7] == 0).all()


@pytest.mark.parametrize('size', [1, 2, 3, 600, 3000])
def test_widest_gaps_are_found_part_by_part(size):
    ordered = normal(size).sort().values
    widths = ordered.diff()
    whole = set(_widest_gaps(ordered).tolist())
    assert len(whole) == min(_GRID, size - 1)
    for part in (1, 2, 100, 2999, 3000):
        assert set(_widest_gaps(ordered, part).tolist()) == whole
    narrowest = min((widths[i - 1] for i in whole), default=0)
    assert int((widths > narrowest).sum()) < max(1, len(whole))


def test_kmeans_groups_a_large_cluster_alike_beside_outliers():
    values = normal(50_000)
    alone = group_numbers(values, kmeans_cuts(values, 12))
    more = torch.cat([values, torch.tensor([-1e5, 1e5, 2e5])])
    groups = group_numbers(more, kmeans_cuts(more, 15))
    assert groups[-3:].tolist() == [0, 13, 14]
    beside = within_cluster_sum(values, groups[:-3])
    assert beside == pytest.approx(within_cluster_sum(values, alone), rel=1e-4)


@pytest.mark.parametrize('name', VALUES)
@pytest.mark.parametrize('num_groups', [2, 5])
def test_kmeans_leaves_every_value_with_the_nearest_mean(name, num_groups):
    values = VALUES[name](3000)
    groups = group_numbers(values, kmeans_cuts(values, num_groups))
    values = values.double()
    means = torch.stack([values[groups == g].mean() for g in groups.unique()])
    distances = (values[:, None] - means[None, :]).abs()
    own = distances.gather(1, groups[:, None]).squeeze(1)
    assert (own <= distances.min(1).values + 1e-6 * means.abs().max()).all()


@pytest.mark.parametrize('name', VALUES)
@pytest.mark.parametrize('num_groups', [1, 4, 20])
def test_kmeans_leaves_no_group_empty(name, num_groups):
    for size in (1, 2, 7, 513, 2000):
        values = VALUES[name](max(size, 9))[-size:]
        cuts = kmeans_cuts(values, num_groups)
        assert cuts.dtype == values.dtype
        assert len(cuts) + 1 == min(num_groups, len(values.unique()))
        counts = group_numbers(values, cuts).bincount(minlength=len(cuts) + 1)
        assert (counts > 0).all()


@pytest.mark.parametrize('name', VALUES)
def test_kmeans_depends_on_the_values_alone(name):
    values = VALUES[name](1500)
    shuffled = values[torch.randperm(len(values), generator=seeded())]
    before = shuffled.clone()
    cuts = kmeans_cuts(values, 5)
    assert torch.equal(kmeans_cuts(shuffled, 5), cuts)
    assert torch.equal(shuffled, before)


@pytest.mark.parametrize('factor', [3.4e38, 1e-38])
def test_kmeans_splits_values_at_the_end_of_the_range(factor):
    values = torch.tensor([0.5, 0.51, 1, 0.99]) * factor
    groups = group_numbers(values, kmeans_cuts(values, 2))
    assert groups.tolist() == [0, 0, 1, 1]
