"""What is inside of a wrapper, where it takes more than arithmetic."""

import pytest
from torch.utils.data import Subset
from toy import ToyDataset

from bls_mm.datasets.sample_ids import sample_ids
from bls_mm.datasets.wrappers import find_source


class CombinedDataset:
    """The names of mmpose's, with other numbers of indices than samples."""

    def __init__(self, datasets, indices=None):
        self.datasets = datasets
        self._lens = indices or [len(part) for part in datasets]
        if indices:
            self._lens_ori = [len(part) for part in datasets]

    def __len__(self):
        return sum(self._lens)


@pytest.mark.parametrize(
    'sizes, indices, expected',
    [
        ([3, 2], None, [0, 1, 2, 3, 4]),
        ([3, 2], [6, 2], [0, 0, 1, 1, 2, 2, 3, 4]),
        ([2, 4], [3, 4], [0, 0, 1, 2, 3, 4, 5]),
        ([2, 3], [0, 3], [0, 1, 2]),
        # One of two neighbours, drawn at each visit: one score for both
        ([6, 2], [3, 4], [0, 1, 2, 3, 3, 4, 4]),
        ([10, 1], [3, 1], [0, 1, 2, 3]),
    ],
)
def test_combined_dataset_has_a_score_for_each_sample(
    sizes, indices, expected
):
    dataset = CombinedDataset([ToyDataset(size) for size in sizes], indices)
    ids = sample_ids(dataset)
    of_index = ids.of_index
    if of_index is None:
        of_index = range(ids.count)
    assert list(of_index) == expected
    assert ids.count == len(set(expected))


def test_source_in_a_combined_dataset_is_one_of_what_an_index_draws_from():
    parts = [ToyDataset(6), Subset(ToyDataset(2), [0, 1, 0, 1])]
    dataset = CombinedDataset(parts, [3, 8])
    found = [find_source(dataset, i) for i in range(len(dataset))]
    assert [f.index // 2 for f in found[:3]] == [0, 1, 2]
    assert {id(f.dataset) for f in found[:3]} == {id(parts[0])}
    assert [f.index for f in found[3:]] == [0, 0, 1, 1, 0, 0, 1, 1]
    assert {id(f.dataset) for f in found[3:]} == {id(parts[1].dataset)}


class Wrong:
    dataset = ToyDataset(4)

    def __init__(self, found):
        self._get_ori_dataset_idx = found.__getitem__

    def __len__(self):
        return 2


@pytest.mark.parametrize('wrong', [-1, 4, (1, 0)])
def test_wrapper_that_names_no_sample_is_refused(wrong):
    dataset = Wrong([0, wrong])
    with pytest.raises(ValueError, match=r'Wrong returns .* from `_get_ori_'):
        sample_ids(dataset)
