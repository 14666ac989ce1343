"""The hook that shows which samples are hard, and which are pruned."""

import random  # noqa: TID251  to leave its state as it was
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional, Set

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from bls_mm.checks import check_integer
from bls_mm.datasets.images import NoImagesError
from bls_mm.datasets.sample_ids import index_of
from bls_mm.visualization.samples import SampleDrawer

from .bls_hook import BLSHook

# Unless an interval is set: pictures of a kind in a run at most, what of the
# time they may take, and the seconds that the first ones are expected to.
_PICTURES, _SHARE_OF_TIME, _FIRST_SECONDS = 10, 0.01, 1.0
_LARGEST = 2**31


@HOOKS.register_module()
class BLSVisualizationHook(Hook):
    """Draw the scores, and the hardest and the easiest training samples.

    At the start of a pass over the data, and at the end of training, two
    pictures go to all backends of the visualizer (files, TensorBoard, W&B,
    ...): ``bls_scores``, the distribution of the scores, split into kept and
    pruned samples, and ``bls_samples``, the hardest and the easiest images
    with their ground truth. The shares of samples that are kept and saved are
    scalars, which ``BLSHook`` logs.

    Training is bit-identical to training without this hook. If a picture
    cannot be drawn, the hook warns once and training continues.

    Args:
        interval (int, optional): Number of passes between pictures; the first
            is drawn after the first pass. Defaults to None, about ten pictures
            per run, or fewer if they would take more than 1 % of its time. A
            run of a minute gets only the last one.
        num_images (int): Images in the grid, half of them hard and half
            easy ones; 0 for no grid. Defaults to 16.

    Raises:
        TypeError: If an argument is not an integer.
        ValueError: If an argument is out of range, or there is no
            ``BLSHook``.
    """

    # After BLSHook, so that a pass has been selected.
    priority = 'BELOW_NORMAL'

    _bls: BLSHook

    def __init__(
        self, interval: Optional[int] = None, num_images: int = 16
    ) -> None:
        name = type(self).__name__
        if interval is not None:
            interval = check_integer(f'{name}.interval', interval, 1, _LARGEST)
        self.interval = interval
        self.num_images = check_integer(
            f'{name}.num_images', num_images, 0, 256
        )
        self._drawer: Optional[SampleDrawer] = None
        self._shows_samples = self.num_images > 0
        self._warned: Set[str] = set()
        self._began = 0.0
        self._spent = 0.0
        self._latest = _FIRST_SECONDS

    def before_run(self, runner: Any) -> None:
        """Find the hook that keeps the scores."""
        found = [hook for hook in runner.hooks if isinstance(hook, BLSHook)]
        if not found:
            raise ValueError(
                'BLSVisualizationHook draws the scores of a BLSHook, but the '
                "config has none. Add dict(type='BLSHook') to `custom_hooks`."
            )
        self._bls = found[0]

    def before_train(self, runner: Any) -> None:
        """Look at the clock."""
        self._began = time.perf_counter()

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Draw before the first iteration of some passes.

        A pass of an iteration-based loop has no other event of its own.
        """
        planner = self._bls.planner
        if planner.current.done or not self._is_due():
            return
        kept, full = planner.kept
        share = f'{kept:,} of {full:,} samples kept ({kept / full:.1%})'
        self._draw(runner, f'Pass {planner.current.number + 1}: {share}')

    def after_train(self, runner: Any) -> None:
        """Draw the scores that the run ends with."""
        if is_main_process():
            self._draw(runner, 'Scores after training', is_over=True)

    def _is_due(self) -> bool:
        planner = self._bls.planner
        interval = self.interval
        if interval is None:
            interval = -(-planner.budget.passes // (_PICTURES - 1))
        number = planner.current.number
        due = number > 0 and (number - 1) % interval == 0
        return due and is_main_process() and self._has_time()

    def _has_time(self) -> bool:
        if self.interval is not None:
            return True
        elapsed = time.perf_counter() - self._began
        return self._spent + self._latest <= _SHARE_OF_TIME * elapsed

    def _draw(self, runner: Any, title: str, is_over: bool = False) -> None:
        began = time.perf_counter()
        scores = self._bls.scores.cpu().numpy()
        weights = None if is_over else self._bls.planner.weights
        kept = None if is_over else np.ones(len(scores), dtype=bool)
        if weights is not None:
            kept = (weights > 0).cpu().numpy()

        def histogram() -> np.ndarray:
            # Here, as matplotlib takes long to import.
            from bls_mm.visualization.charts import draw_histogram

            return draw_histogram(scores, kept, title)

        def samples() -> np.ndarray:
            return self._sample_grid(runner, scores, kept, title)

        with _same_random_state():
            self._add(runner, 'bls_scores', histogram)
            if self._shows_samples:
                self._add(runner, 'bls_samples', samples)
        self._latest = time.perf_counter() - began
        self._spent += self._latest

    def _add(
        self, runner: Any, name: str, draw: Callable[[], np.ndarray]
    ) -> None:
        """Hand a picture to the backends; warn once if there is none."""
        try:
            runner.visualizer.add_image(name, draw(), runner.iter)
        except NoImagesError as error:
            self._shows_samples = False
            runner.logger.info(f'BLS: no sample pictures, because {error}.')
        except Exception as error:  # no reason to lose days of training
            if name not in self._warned:
                self._warned.add(name)
                runner.logger.warning(
                    f'BLS: could not draw `{name}`; training continues: '
                    f'{type(error).__name__}: {error}'
                )

    def _sample_grid(
        self,
        runner: Any,
        scores: np.ndarray,
        kept: Optional[np.ndarray],
        title: str,
    ) -> np.ndarray:
        from bls_mm.visualization.charts import draw_grid

        sampler = self._bls.planner.sampler
        samples = sampler.samples
        if samples.of_index is None and samples.count != len(sampler.dataset):
            raise NoImagesError('the sampler yields no indices of the dataset')
        if self._drawer is None:
            visualizer = runner.cfg.get('visualizer')
            if not isinstance(visualizer, dict):
                visualizer = type(runner.visualizer)
            self._drawer = SampleDrawer(sampler.dataset, visualizer)
        half = max(1, min(self.num_images, len(scores)) // 2)
        groups = [hardest(scores, half), hardest(-scores, half)]
        pictures, captions = [], []
        for group in groups:
            indices = [index_of(samples, int(i)) for i in group]
            pictures.append([self._drawer.draw(index) for index in indices])
            captions.append(
                [
                    _caption(self._drawer.label(index), scores, kept, i)
                    for index, i in zip(indices, group)
                ]
            )
        headings = ['Highest scores, hardest first', 'Lowest scores']
        return draw_grid(pictures, captions, headings, title)


def _caption(
    label: str, scores: np.ndarray, kept: Optional[np.ndarray], sample: int
) -> str:
    label = f'{label}: ' if label else ''
    pruned = '' if kept is None or kept[sample] else ', pruned'
    return f'{label}score {scores[sample]:.3g}{pruned}'


def hardest(scores: np.ndarray, count: int) -> np.ndarray:
    """The samples with the highest scores, the highest first.

    Args:
        scores (ndarray): Shape (N,).
        count (int): How many, at most N.

    Returns:
        ndarray: Sample ids, int64, shape (count,); of equal scores the
        lower ids first.
    """
    if count <= 0:
        return np.empty(0, dtype=np.int64)
    limit = -np.partition(-scores, count - 1)[count - 1]
    found = np.flatnonzero(scores >= limit)
    return found[np.argsort(-scores[found], kind='stable')][:count]


@contextmanager
def _same_random_state() -> Iterator[None]:
    """Leave the random numbers of a training as if nothing had been drawn.

    Visualizers set numpy's seed for their colours, and transforms that load
    may be of any origin.
    """
    of_python = random.getstate()
    of_numpy = np.random.get_state()  # noqa: NPY002  only to restore it
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)  # noqa: NPY002  see above
