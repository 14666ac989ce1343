"""Pictures of samples for the report."""

import base64
import io
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
from mmengine.config import Config
from PIL import Image

from bls_mm.datasets.images import NoImagesError
from bls_mm.visualization.samples import SampleDrawer, class_name

from .classes import classes_of
from .dataset import Data

_SIDE = 240  # pixels of a picture, for sharp ones of half of that


class Gallery:
    """Draw samples with their ground truth.

    Args:
        cfg (Config): The config, for the visualizer of the task.
        data (Data): The dataset.
        scores (ndarray): Shape (N,).

    Attributes:
        problem (str, optional): Why there are no pictures.
    """

    def __init__(self, cfg: Config, data: Data, scores: np.ndarray) -> None:
        self._data = data
        self._scores = scores
        self.problem: Optional[str] = None
        self._visualizer = cfg.get('visualizer') or dict(type='Visualizer')
        self._drawer: Optional[SampleDrawer] = None

    def show(
        self, samples: np.ndarray, means: Optional[np.ndarray] = None
    ) -> List[Dict[str, Any]]:
        """What the template shows of samples.

        Args:
            samples (ndarray): Their ids, int64, shape (K,).
            means (ndarray, optional): Mean score of every sample over all
                checkpoints, shape (N,), to show beside the last.

        Returns:
            list[dict]: An entry for each; empty where there are no images.
        """
        if self._data.dataset is None or self.problem:
            return []
        try:
            if self._drawer is None:
                self._drawer = SampleDrawer(
                    self._data.dataset, self._visualizer
                )
            drawer = self._drawer
            return [self._entry(drawer, int(s), means) for s in samples]
        except NoImagesError as error:
            self.problem = f'There are no sample pictures, because {error}.'
        except Exception as error:  # of files, transforms, visualizers
            self.problem = (
                'The sample pictures could not be drawn. '
                f'{type(error).__name__}: {error}'
            )
        return []

    def _entry(
        self, drawer: SampleDrawer, sample: int, means: Optional[np.ndarray]
    ) -> Dict[str, Any]:
        info = self._data.info(sample)
        return dict(
            id=sample,
            src=encode(drawer.draw(int(self._data.indices[sample]))),
            score=float(self._scores[sample]),
            mean=None if means is None else float(means[sample]),
            classes=', '.join(
                class_name(self._data.names, label)
                for label in classes_of(info)
            ),
            path=Path(info.get('img_path') or '').name,
        )


def encode(picture: np.ndarray) -> str:
    """A picture as the address of an ``<img>``.

    Args:
        picture (ndarray): Uint8, RGB, shape (H, W, 3).
    """
    image = Image.fromarray(picture)
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=85, optimize=True)
    code = base64.b64encode(buffer.getvalue()).decode()
    return f'data:image/jpeg;base64,{code}'
