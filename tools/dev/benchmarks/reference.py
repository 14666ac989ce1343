"""Obviously correct references, written from the papers' formulas."""

import math

import numpy as np
import torch
import torch.distributed as dist


def reference_update(scores, batch, loss, alpha=0.9):
    """BLS, the score: ``s_i <- alpha * s_i + (1 - alpha) * L``.

    Args:
        scores (ndarray): Float32, shape (N,). Changed in place.
        batch (list[int]): The samples of the batch, each once.
        loss (Tensor): Loss of the batch, shape ().
        alpha (float): Weight of the past. Defaults to 0.9.
    """
    value = loss.item()
    for i in batch:
        scores[i] = alpha * scores[i] + (1 - alpha) * value


def one_line_update(scores, batch, loss, alpha=0.9):
    """The same as one expression of torch; ``batch`` is an int64 tensor."""
    scores[batch] = alpha * scores[batch] + (1 - alpha) * loss


def reference_infobatch(scores, rng, prune_ratio=0.5):
    """InfoBatch, Section 2: drop a share of those below the mean.

    Args:
        scores (ndarray): Float32, shape (N,).
        rng (Generator): NumPy's source of randomness.
        prune_ratio (float): Share of the easy samples to drop.

    Returns:
        tuple[ndarray, ndarray]: Indices in no order, and their weights.
    """
    easy = scores < scores.mean(dtype=np.float64)
    (easy_ids,), (hard_ids,) = easy.nonzero(), (~easy).nonzero()
    size = round((1 - prune_ratio) * len(easy_ids))
    kept = rng.choice(easy_ids, size, replace=False)
    weights = np.ones(len(hard_ids) + size, dtype=np.float32)
    weights[len(hard_ids) :] = 1 / (1 - prune_ratio)
    return np.concatenate([hard_ids, kept]), weights


def reference_seta(scores, rng, epoch=1, prune_ratio=0.1, num_groups=5):
    """SeTa, Section 3: a random share, its groups, a sliding window.

    Returns:
        tuple[ndarray, ndarray]: Indices in no order, and their weights.
    """
    kept, _ = reference_random(scores, rng, prune_ratio)
    groups = lloyd(scores[kept], num_groups)
    window_size = round(num_groups * 0.9)
    first = epoch % (num_groups - window_size + 1)
    inside = (groups >= first) & (groups < first + window_size)
    return kept[inside], np.ones(inside.sum(), dtype=np.float32)


def lloyd(values, num_groups, max_rounds=300):
    """Lloyd's k-means, the centres at quantiles in the beginning.

    Returns:
        ndarray: Group of each value, from 0 for the lowest.
    """
    centres = np.quantile(values, (np.arange(num_groups) + 0.5) / num_groups)
    tolerance = 1e-4 * values.std()
    for _ in range(max_rounds):
        groups = np.abs(values[:, None] - centres).argmin(1)
        moved = np.array(
            [values[groups == g].mean() for g in range(num_groups)]
        )
        if np.allclose(moved, centres, rtol=0, atol=tolerance):
            break
        centres = moved
    return groups


def reference_random(scores, rng, prune_ratio=0.5):
    """Keep a random share of all.

    Returns:
        tuple[ndarray, ndarray]: Indices in no order, and their weights.
    """
    size = round((1 - prune_ratio) * len(scores))
    kept = rng.choice(len(scores), size, replace=False)
    return kept, np.ones(size, dtype=np.float32)


def reference_pass(select, scores, rng):
    """From scores to what a DataLoader draws from: a shuffled list.

    MMEngine's samplers make such a list too.
    """
    indices, weights = select(scores, rng)
    weight_of = np.zeros(len(scores), dtype=np.float32)
    weight_of[indices] = weights
    return rng.permutation(indices).tolist(), weight_of


def reference_merge(scores, seen):
    """The mean over the ranks that have seen a sample, in place."""
    ranks = range(dist.get_world_size())
    all_scores = [torch.empty_like(scores) for _ in ranks]
    all_seen = [torch.empty_like(seen) for _ in ranks]
    dist.all_gather(all_scores, scores)
    dist.all_gather(all_seen, seen)
    times = torch.stack(all_seen).sum(0)
    total = (torch.stack(all_scores) * torch.stack(all_seen)).sum(0)
    scores[times > 0] = (total / times)[times > 0]
    seen[:] = 0


def reference_infobatch_target(scores, rng, share=0.5):
    """Drop a share of all samples, all of them easy.

    Easy are the lowest, all below the mean at least, as many as make the
    variance of the sum least.

    Returns:
        tuple[ndarray, ndarray]: Indices in no order, and their weights.
    """
    size = len(scores)
    order = scores.argsort()
    squares = np.cumsum(scores[order].astype(np.float64) ** 2)
    below = (scores < scores.mean(dtype=np.float64)).sum()
    counts = np.arange(max(math.floor(share * size) + 1, below), size + 1)
    added = squares[counts - 1] / (counts - share * size)
    count = counts[added.argmin()]
    kept = rng.choice(order[:count], count - round(share * size), False)
    weights = np.ones(size - count + len(kept), dtype=np.float32)
    weights[size - count :] = count / len(kept)
    return np.concatenate([order[count:], kept]), weights


def reference_seta_target(scores, rng, share=0.5, epoch=1):
    """A window over the groups of all samples, of which some are dropped.

    Returns:
        tuple[ndarray, ndarray]: Indices in no order, and their weights.
    """
    inside, _ = reference_seta(scores, rng, epoch, prune_ratio=0.0)
    kept = rng.choice(inside, round((1 - share) * len(scores)), False)
    return kept, np.ones(len(kept), dtype=np.float32)


REFERENCES = {
    'infobatch': reference_infobatch,
    'infobatch-target': reference_infobatch_target,
    'seta': reference_seta,
    'seta-target': reference_seta_target,
    'random': reference_random,
}
