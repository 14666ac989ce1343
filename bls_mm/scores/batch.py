"""A batch, from its look-up to its scores."""

from typing import List, NamedTuple, Optional, Union

from torch import Tensor

Ids = Union[Tensor, List[int]]


class Batch(NamedTuple):
    """The samples of a batch and what its loss weighs.

    Attributes:
        ids (Tensor or list[int]): Ids of its samples, int64, shape (B,), on
            the device of the scores; or a list.
        size (int): Their number B. The length of a tensor takes much longer
            to find than a number.
        weight (Tensor or float, optional): Mean weight of its samples, shape
            (); None if all weigh 1. Defaults to None.
        group (int, optional): Batches that follow each other with the same
            number have no sample in common. Defaults to None, not known.
        of_samples (Tensor, optional): Weight of each sample relative to
            ``weight``, float32, shape (B,); None if a sample has no weight
            of its own. Defaults to None.
    """

    ids: Ids
    size: int
    weight: Union[Tensor, float, None] = None
    group: Optional[int] = None
    of_samples: Optional[Tensor] = None
