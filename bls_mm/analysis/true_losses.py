"""True losses of training samples, and how well scores match them."""

from functools import partial
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor

from bls_mm.losses.calls import Call
from bls_mm.losses.loss_modules import find_loss_modules
from bls_mm.losses.twin import Twin
from bls_mm.losses.unreduced import losses_of_samples
from bls_mm.losses.values import list_tensors
from bls_mm.runner.private import versions_of


def check_scipy() -> None:
    """Fail before a training rather than after it.

    Raises:
        ImportError: If scipy, which this module needs, is not installed.
    """
    try:
        import scipy.sparse
        import scipy.stats  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'True losses are compared with `scipy`, which is not installed: '
            'pip install "bls_mm[demo]".'
        ) from error


def solve_losses(
    batches: Sequence[Tuple[List[int], float]],
    size: int,
    trend: float = 0.05,
    rounds: int = 30,
) -> np.ndarray:
    """Estimate the losses of samples from all batches at once.

    Batch losses relative to their moving average are explained by losses
    that do not change, by multiplicative expectation maximization.

    Args:
        batches (list[tuple]): Ids and loss of each batch.
        size (int): Number of samples N.
        trend (float): Weight of a batch in the moving average.
            Defaults to 0.05.
        rounds (int): Iterations; more fit noise. Defaults to 30.

    Returns:
        ndarray: Float64, shape (N,).

    References:
        Shepp and Vardi, IEEE Trans. Med. Imaging 1, 1982.
    """
    from scipy.sparse import csr_matrix

    rows = np.repeat(range(len(batches)), [len(ids) for ids, _ in batches])
    ids = np.concatenate([ids for ids, _ in batches])
    shares = np.concatenate([[1 / len(ids)] * len(ids) for ids, _ in batches])
    matrix = csr_matrix((shares, (rows, ids)), (len(batches), size))
    average, losses = batches[0][1], []
    for _, loss in batches:
        average += trend * (loss - average)
        losses.append(loss / average)
    visits = np.asarray(matrix.sum(0)).ravel()
    estimate = np.ones(size)
    for _ in range(rounds):
        ratio = np.array(losses) / (matrix @ estimate).clip(min=1e-6)
        estimate *= (matrix.T @ ratio) / visits.clip(min=1e-9)
    return estimate


@torch.no_grad()
def measure_true_losses(
    model: Any, dataset: Any, batch_size: int = 16
) -> np.ndarray:
    """Measure the loss of each sample alone, with the weights of the moment.

    Classifiers and segmenters see many samples at a time, if the first batch
    tells of each what the sample alone does.

    Args:
        model (BaseModel): The model. Modes and random states stay as they
            are.
        dataset (Dataset): From :func:`build_true_loss_dataset`.
        batch_size (int): Samples at a time. Defaults to 16.

    Returns:
        ndarray: Float64, shape (N,).
    """
    preprocessor, modes = model.data_preprocessor, {}
    for name, module in model.named_modules():
        modes[name] = module.training
    # Segmentation maps are padded like images in training mode only.
    augments = getattr(preprocessor, 'batch_augments', None)
    preprocessor.batch_augments = None
    losses: List[float] = []
    with torch.random.fork_rng(), _HeardLosses(model) as heard:
        model.eval()
        together = batch_size > 1
        for start in range(0, len(dataset), batch_size):
            stop = min(start + batch_size, len(dataset))
            samples = [dataset[index] for index in range(start, stop)]
            told = heard.of_batch(samples) if together else None
            if told is None or start == 0:
                alone = [heard.of_sample(sample) for sample in samples]
                together = told is not None and np.allclose(
                    told, alone, rtol=1e-3, atol=1e-5
                )
                told = alone
            losses += told
    preprocessor.batch_augments = augments
    for name, module in model.named_modules():
        module.training = modes[name]
    return np.array(losses)


class _HeardLosses:
    """What a model says about losses, and its loss modules with it."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._calls: List[Call] = []
        self._told = True

    def __enter__(self) -> '_HeardLosses':
        self._hooks = [
            module.register_forward_hook(
                partial(self._hear, Twin(module)), with_kwargs=True
            )
            for module in find_loss_modules(self._model, ()).values()
        ]
        return self

    def __exit__(self, *exception: Any) -> None:
        for hook in self._hooks:
            hook.remove()

    def of_sample(self, sample: Any) -> float:
        """The loss of a sample alone."""
        return float(self._loss([sample]))

    def of_batch(self, samples: List[Any]) -> Optional[List[float]]:
        """The losses of samples together; None if they are not told."""
        self._calls, self._told = [], True
        if len({sample['inputs'].shape for sample in samples}) > 1:
            return None
        loss = self._loss(samples)
        if not self._calls:
            return None
        rows = losses_of_samples(
            [self._calls], loss[None], len(samples), self._misfit
        )
        return rows[0].tolist() if self._told else None

    def _loss(self, samples: List[Any]) -> Tensor:
        data = self._model.data_preprocessor(
            pseudo_collate(samples), training=True
        )
        losses = self._model(**data, mode='loss')
        return self._model.parse_losses(losses)[0]

    def _hear(
        self, twin: Twin, _: Any, args: Any, kwargs: Any, __: Any
    ) -> None:
        tensors = list_tensors([*args, *kwargs.values()])
        self._calls.append(Call(twin, args, kwargs, versions_of(tensors)))

    def _misfit(self, *_: Any) -> None:
        self._told = False


def rate_scores(scores: np.ndarray, truth: np.ndarray) -> Dict[str, float]:
    """Rate how well scores follow the truth.

    Args:
        scores (ndarray): Shape (N,).
        truth (ndarray): Losses, shape (N,), not negative.

    Returns:
        dict: ``spearman``, in [-1, 1], the rank correlation; in [0, 1]
        ``recall10``, the share of the hardest tenth that is among the tenth
        with the highest scores, and ``mass10`` and ``mass30``, the shares of
        the total loss that the highest 10 % and 30 % hold.
    """
    from scipy.stats import spearmanr

    order, hardest = np.argsort(-scores), np.argsort(-truth)
    tenth = max(1, len(scores) // 10)  # also of fewer than ten
    third = max(1, 3 * len(scores) // 10)
    found = np.intersect1d(order[:tenth], hardest[:tenth])
    return dict(
        spearman=float(spearmanr(scores, truth).statistic),
        recall10=len(found) / tenth,
        mass10=float(truth[order[:tenth]].sum() / truth.sum()),
        mass30=float(truth[order[:third]].sum() / truth.sum()),
    )
