"""True losses of training samples, and how well scores tell them."""

import copy

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from scipy.sparse import csr_matrix
from scipy.stats import spearmanr


def solve(batches, size, trend=0.05, rounds=30):
    """Estimate the losses of samples from all batches at once.

    Batch losses relative to their moving average are explained by losses
    that do not change, by multiplicative expectation maximization (Shepp and
    Vardi, IEEE Trans. Med. Imaging 1, 1982).

    Args:
        batches (list): Ids and loss of each batch.
        size (int): Number of samples N.
        trend (float): Weight of a batch in the moving average.
        rounds (int): Iterations; more fit noise.

    Returns:
        ndarray: Float64, shape (N,).
    """
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


def true_loss_dataset(cfg):
    """The training samples with the pipeline of the validation data.

    Index `i` is the sample with score `i`. In the pipelines of OpenMMLab it
    loads annotations too, and nothing in it is random.
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
def true_losses(model, dataset):
    """The loss of each sample by itself, with the weights of the moment.

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


def fidelity(scores, truth):
    """How well scores tell the truth.

    Args:
        scores (ndarray): Shape (N,).
        truth (ndarray): Losses, shape (N,), not negative.

    Returns:
        dict: In [-1, 1] the rank correlation; in [0, 1] the share of the
        hardest tenth that is among the tenth with the highest scores, and
        the shares of the total loss that the highest 10 % and 30 % hold.
    """
    order, hardest = np.argsort(-scores), np.argsort(-truth)
    tenth, third = len(scores) // 10, 3 * len(scores) // 10
    found = np.intersect1d(order[:tenth], hardest[:tenth])
    return dict(
        spearman=float(spearmanr(scores, truth).statistic),
        recall10=len(found) / tenth,
        mass10=float(truth[order[:tenth]].sum() / truth.sum()),
        mass30=float(truth[order[:third]].sum() / truth.sum()),
    )
