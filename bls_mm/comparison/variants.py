"""The variants that `tools/compare.py` trains, and what each depends on."""

from bls_mm import RandomPrune
from bls_mm.passes.budget import annealing_start

from .report import FEWER, FULL, RANDOM


def variants(prune, fewer_epochs):
    """The variants in the order to run, which later ones depend on.

    Args:
        prune (list[str]): Names of pruners.
        fewer_epochs (bool): Whether to add the control of that name.

    Returns:
        list[str]: Names, each once.
    """
    scored = [name for name in dict.fromkeys(prune) if name != RANDOM]
    controls = [RANDOM] * (RANDOM in prune) + [FEWER] * fewer_epochs
    return [FULL, *scored, *controls]


def split_variant(variant):
    """Split ``PRUNER`` or ``PRUNER:SCORE``; the score may be None."""
    pruner, _, score = variant.partition(':')
    return pruner, score or None


def run_settings(variant, seed, args, config_hash, reference):
    """All that one run depends on.

    Args:
        variant (str): Name of the variant.
        seed (int): Seed of the run.
        args (Namespace): The command line.
        config_hash (str): Hash of the content of the config.
        reference (dict, optional): Result of the first pruned variant of
            this seed, which the controls are matched to.

    Returns:
        dict: Of numbers, strings and None.
    """
    settings = dict(
        config=args.config,
        config_hash=config_hash,
        cfg_options=args.cfg_options,
        variant=variant,
        seed=seed,
        prune=None,
        prune_ratio=None,
        target_saving=None,
        score=None,
        schedule_share=None,
    )
    if variant == FEWER:
        settings['schedule_share'] = 1 - reference['saved']
    elif variant != FULL:
        settings['prune'], settings['score'] = split_variant(variant)
        settings['prune_ratio'] = args.prune_ratio
        settings['target_saving'] = args.target_saving
    matched = reference is not None and args.target_saving is None
    if variant == RANDOM and matched:
        settings['prune_ratio'] = matched_ratio(reference['kept'])
    return settings


def matched_ratio(kept, delta=None):
    """Ratio at which random pruning visits as many samples.

    Args:
        kept (list[float]): Share of the data that each pass visited.
        delta (float, optional): Share of the passes after which random
            pruning stops. Defaults to None, that of ``RandomPrune``.

    Returns:
        float: Ratio in [0, 1). 0 if random pruning has no pass to prune.
    """
    delta = RandomPrune().delta if delta is None else delta
    prunable = annealing_start(len(kept), delta) - 1  # the first is full
    if prunable < 1:
        return 0.0
    saved_passes = len(kept) - sum(kept)
    return min(max(saved_passes / prunable, 0.0), 0.99)
