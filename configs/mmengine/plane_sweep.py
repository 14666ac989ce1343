"""Multi-view stereo for MMEngine alone: dataset, model and metric.

A user's own project in one file: nothing here knows of pruning or of any
OpenMMLab package beside MMEngine. Two cameras side by side see flat, textured
boxes; the depth of each pixel of the first view is known, since the views are
rendered.

The network is a plane sweep (Collins, A Space-Sweep Approach to True
Multi-Image Matching, CVPR 1996) with learned features and a soft minimum
(Yao et al., MVSNet, ECCV 2018): for a number of depths the second view's
features are moved to where the first view would see them at that depth, and
compared.
"""

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

HEIGHT, WIDTH = 24, 40
FOCAL_BASELINE = 12.0  # pixels x metres: disparity = FOCAL_BASELINE / depth
NEAR, FAR = 1.5, 12.0  # metres


@DATASETS.register_module()
class RenderedPairs(Dataset):
    """Image pairs of boxes at random depths.

    Args:
        size (int): Number of pairs.
        seed (int): Which pairs. Defaults to 0.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = size
        self.seed = seed
        self.metainfo = dict(near=NEAR, far=FAR)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        rng = np.random.default_rng([self.seed, index])
        views, depth = render(rng)
        return dict(
            views=torch.from_numpy(views), depth=torch.from_numpy(depth)
        )


def render(rng):
    """Draw a scene: two views (2, H, W) and the depth of the first (H, W)."""
    views = np.zeros((2, HEIGHT, WIDTH), np.float32)
    depth = np.zeros((HEIGHT, WIDTH), np.float32)
    depths = np.sort(rng.uniform(NEAR, FAR, rng.integers(1, 6)))[::-1]
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for number, distance in enumerate(depths):
        texture = make_texture(rng)
        top, left = rng.uniform(0, HEIGHT - 8), rng.uniform(0, WIDTH - 8)
        height, width = rng.uniform(6, HEIGHT), rng.uniform(6, WIDTH)
        if number == 0:  # the wall behind the boxes
            top, left, height, width = -1, -99, 999, 999
        for view, shift in enumerate((0.0, FOCAL_BASELINE / distance)):
            x = columns + shift
            inside = (x >= left) & (x < left + width)
            inside &= (rows >= top) & (rows < top + height)
            views[view][inside] = sample(texture, rows, x)[inside]
            if view == 0:
                depth[inside] = distance
    noise = rng.normal(0, rng.uniform(0, 0.1), views.shape)
    return views + noise.astype(np.float32), depth


def make_texture(rng):
    """Random waves, some of them too faint to match."""
    rough = rng.normal(size=(HEIGHT, WIDTH + 32)).astype(np.float32)
    strength = rng.uniform(0.1, 1)
    return rng.uniform(-1, 1) + strength * rough


def sample(texture, rows, x):
    """Texture at fractional columns."""
    low = np.clip(np.floor(x).astype(int), 0, texture.shape[1] - 2)
    share = x - low
    rows = rows.astype(int)
    return (1 - share) * texture[rows, low] + share * texture[rows, low + 1]


@MODELS.register_module()
class PlaneSweep(BaseModel):
    """Depth from two views, with three loss terms.

    Args:
        num_depths (int): Planes to sweep, evenly spaced in inverse depth.
            Defaults to 16.
        channels (int): Channels of the features. Defaults to 16.
    """

    def __init__(self, num_depths: int = 16, channels: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.regularize = nn.Sequential(
            nn.Conv2d(num_depths, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, num_depths, 3, padding=1),
        )
        inverse = torch.linspace(1 / FAR, 1 / NEAR, num_depths)
        self.register_buffer('inverse_depths', inverse)

    def forward(self, views, depth, mode='tensor'):
        """Losses, or depth (B, H, W), from views (B, 2, H, W)."""
        match = self.sweep(views)
        coarse = self.soft_minimum(match)
        inverse = self.soft_minimum(match + self.regularize(match))
        if mode != 'loss':
            return [dict(depth=p, truth=t) for p, t in zip(1 / inverse, depth)]
        truth = 1 / depth
        # In disparities: pixels, whatever the distance.
        return dict(
            loss_depth=self.error(inverse, truth),
            loss_coarse=0.5 * self.error(coarse, truth),
            loss_smooth=0.1 * FOCAL_BASELINE * inverse.diff().abs().mean(),
        )

    def sweep(self, views):
        """How well the views match at each depth, (B, D, H, W)."""
        first, second = (
            self.features(view[:, None]) for view in views.unbind(1)
        )
        moved = [
            (first * shift_columns(second, FOCAL_BASELINE * inverse)).mean(1)
            for inverse in self.inverse_depths
        ]
        return torch.stack(moved, 1)

    def soft_minimum(self, match):
        """Expected inverse depth, (B, H, W)."""
        return torch.einsum(
            'bdhw,d->bhw', match.softmax(1), self.inverse_depths
        )

    @staticmethod
    def error(inverse, truth):
        """Smooth L1 distance of disparities."""
        return F.smooth_l1_loss(
            FOCAL_BASELINE * inverse, FOCAL_BASELINE * truth
        )


def shift_columns(maps, shift):
    """Maps (B, C, H, W) as seen ``shift`` columns further left."""
    x = torch.arange(maps.shape[-1], device=maps.device) - shift
    low = x.floor().long()
    share = x - low
    low, high = (i.clamp(0, maps.shape[-1] - 1) for i in (low, low + 1))
    return (1 - share) * maps[..., low] + share * maps[..., high]


@METRICS.register_module()
class DisparityError(BaseMetric):
    """Mean error in pixels, and share of pixels within one."""

    def process(self, data_batch, data_samples) -> None:
        """Collect the errors of a batch."""
        for result in data_samples:
            disparities = [
                FOCAL_BASELINE / result[name] for name in ('depth', 'truth')
            ]
            error = (disparities[0] - disparities[1]).abs()
            within = (error < 1).float().mean()
            self.results.append((error.mean().item(), within.item()))

    def compute_metrics(self, results) -> dict:
        """Averages over all pairs."""
        errors, within = zip(*results)
        return dict(
            within_1px=100 * float(np.mean(within)),
            disparity_error=float(np.mean(errors)),
        )
