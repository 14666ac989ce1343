"""True losses of training samples, and how well scores match them."""

import copy
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS


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


def build_true_loss_dataset(cfg: Config) -> Any:
    """Build the training samples with the pipeline of the validation data.

    Index `i` is the sample with score `i`. In the pipelines of OpenMMLab it
    loads annotations too, and nothing in it is random.

    Args:
        cfg (Config): The config of the training.

    Returns:
        Dataset: N samples, without the datasets that repeat them.

    Raises:
        ValueError: If the dataset is put together from several.
    """
    dataset = copy.deepcopy(cfg.train_dataloader.dataset)
    while 'dataset' in dataset:  # RepeatDataset and its kin
        dataset = dataset['dataset']
    if 'datasets' in dataset:
        raise ValueError('Concatenated datasets are not supported.')
    dataset['pipeline'] = cfg.val_dataloader.dataset.pipeline
    return DATASETS.build(
        dataset, default_args=dict(_scope_=cfg.get('default_scope'))
    )


@torch.no_grad()
def measure_true_losses(model: Any, dataset: Any) -> np.ndarray:
    """Measure the loss of each sample alone, with the weights of the moment.

    Args:
        model (BaseModel): The model. Modes and random states stay as they
            are.
        dataset (Dataset): From :func:`build_true_loss_dataset`.

    Returns:
        ndarray: Float64, shape (N,).
    """
    preprocessor, modes = model.data_preprocessor, {}
    for name, module in model.named_modules():
        modes[name] = module.training
    # Segmentation maps are padded like images in training mode only.
    augments = getattr(preprocessor, 'batch_augments', None)
    preprocessor.batch_augments = None
    losses = []
    with torch.random.fork_rng():
        model.eval()
        for index in range(len(dataset)):
            batch = pseudo_collate([dataset[index]])
            data = preprocessor(batch, training=True)
            found = model(**data, mode='loss')
            losses.append(float(model.parse_losses(found)[0]))
    preprocessor.batch_augments = augments
    for name, module in model.named_modules():
        module.training = modes[name]
    return np.array(losses)


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
    tenth, third = len(scores) // 10, 3 * len(scores) // 10
    found = np.intersect1d(order[:tenth], hardest[:tenth])
    return dict(
        spearman=float(spearmanr(scores, truth).statistic),
        recall10=len(found) / tenth,
        mass10=float(truth[order[:tenth]].sum() / truth.sum()),
        mass30=float(truth[order[:third]].sum() / truth.sum()),
    )
