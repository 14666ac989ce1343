"""The variants of a comparison, and the settings that each run depends on."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from bls_mm.passes.budget import annealing_start
from bls_mm.pruners import RandomPrune

FULL = 'full'  # the variant that is saved against
RANDOM, FEWER = CONTROLS = 'random', 'fewer epochs'
# The score that is no rule, see `TrueScores`.
TRUE = 'true'


@dataclass(frozen=True)
class Study:
    """What is to be compared.

    Attributes:
        config (str): Config file or zoo path.
        config_hash (str): Hash of the content of the config.
        cfg_options (dict): Settings that override the config in all runs.
        variants (list[str]): Names, in the order to run.
        seeds (list[int]): Seeds, in the order to run.
        prune_ratio (float, optional): That of the variants that use scores.
        target_saving (float, optional): That of all pruned variants.
        folder (Path): Where the runs are kept.
    """

    config: str
    config_hash: str
    cfg_options: Dict[str, Any]
    variants: List[str]
    seeds: List[int]
    prune_ratio: Optional[float]
    target_saving: Optional[float]
    folder: Path

    @property
    def reference(self) -> Optional[str]:
        """The first pruned variant, which the controls are matched to."""
        pruned = [name for name in self.variants if name not in (FULL, FEWER)]
        return pruned[0] if pruned else None

    def is_matched(self, variant: str) -> bool:
        """Whether a variant depends on the result of the reference."""
        if self.target_saving is not None:
            return False
        return variant == FEWER or (
            variant == RANDOM and self.reference != RANDOM
        )

    def run_folder(self, variant: str, seed: int) -> Path:
        """The folder of one run."""
        return self.folder / f'seed{seed}' / re.sub('[ :]', '_', variant)

    def make_settings(
        self, variant: str, seed: int, reference: Optional[Dict[str, Any]]
    ) -> Dict[str, Any]:
        """List all that one run depends on.

        Args:
            variant (str): Name of the variant.
            seed (int): Seed of the run.
            reference (dict, optional): Result of the reference with this
                seed, which only matched variants need.

        Returns:
            dict: Of numbers, strings and None.

        Raises:
            ValueError: If a matched variant lacks its reference.
        """
        settings: Dict[str, Any] = dict(
            config=self.config,
            config_hash=self.config_hash,
            cfg_options=self.cfg_options,
            variant=variant,
            seed=seed,
            prune=None,
            prune_ratio=None,
            target_saving=None,
            score=None,
            schedule_share=None,
        )
        if variant not in (FULL, FEWER):
            settings['prune'], settings['score'] = split_variant(variant)
            settings['prune_ratio'] = self.prune_ratio
            settings['target_saving'] = self.target_saving
        elif variant == FEWER and self.target_saving is not None:
            settings['schedule_share'] = 1 - self.target_saving
        if not self.is_matched(variant):
            return settings
        if reference is None:
            raise ValueError(f'`{variant}` needs a run to match.')
        if variant == FEWER:
            settings['schedule_share'] = 1 - reference['saved']
        else:
            settings['prune_ratio'] = match_ratio(reference['kept'])
        return settings


def order_variants(prune: Sequence[str], fewer_epochs: bool) -> List[str]:
    """Put variants in an order in which controls come after what they match.

    Args:
        prune (list[str]): Names of pruned variants.
        fewer_epochs (bool): Whether to add the control of that name.

    Returns:
        list[str]: Names, each once, with the full run.
    """
    scored = [name for name in dict.fromkeys(prune) if name != RANDOM]
    controls = [RANDOM] * (RANDOM in prune) + [FEWER] * fewer_epochs
    return [FULL, *scored, *controls]


def split_variant(variant: str) -> Tuple[str, Optional[str]]:
    """Split ``PRUNER`` or ``PRUNER:SCORE``; the score may be None."""
    pruner, _, score = variant.partition(':')
    return pruner, score or None


def match_ratio(kept: Sequence[float], delta: Optional[float] = None) -> float:
    """Find the ratio at which random pruning visits as many samples.

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
