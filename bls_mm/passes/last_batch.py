"""How small the last batch of a pruned pass may be."""


def drop_small_last(
    selected: int, whole: int, batch_size: int, world_size: int
) -> int:
    """Samples of a pass without a last batch that is too small.

    BatchNorm takes its statistics from each batch, and fails or harms the
    model where that is one or two images. So a pruned pass never ends with a
    batch that is smaller than both half a batch and the last batch of an
    unpruned pass, unless it has no other.

    Args:
        selected (int): Samples selected for the pass, all ranks together.
        whole (int): Samples of an unpruned pass, all ranks together.
        batch_size (int): Samples in a full batch of a rank.
        world_size (int): Number of ranks.

    Returns:
        int: ``selected``, or less by that batch.
    """
    unpruned = -(-whole // world_size) % batch_size or batch_size
    least = min(unpruned, max(2, -(-batch_size // 2)))
    full = batch_size * world_size
    last = selected % full
    is_small = 0 < last <= (least - 1) * world_size
    return selected - last if is_small and selected > full else selected
