"""Images that lie on the device, and the dataset that only counts them."""

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset


class Indices(Dataset):
    """Hands out the indices of a batch; the images are on the device.

    Args:
        size (int): Length.

    Attributes:
        visits (int): Samples handed out.
    """

    def __init__(self, size):
        self._size = size
        self.visits = 0

    def __len__(self):
        return self._size

    def __getitem__(self, index):
        raise NotImplementedError('Batches are fetched as a whole.')

    def __getitems__(self, indices):
        self.visits += len(indices)
        return torch.tensor(indices)


class DeviceImages:
    """Images and labels of a split, gathered and augmented on the device.

    Args:
        images (ndarray): Uint8, shape (N, H, W, 3).
        labels (ndarray): Int64, shape (N,).
        device (str): Where to keep them.
        pad (int): Pixels by which a crop may move. Defaults to 2.
    """

    def __init__(self, images, labels, device, pad=2):
        self._size = images.shape[1:3]
        self._pad = pad
        margin = ((0, 0), (pad, pad), (pad, pad), (0, 0))
        padded = np.pad(images, margin, mode='reflect')
        self._images = torch.from_numpy(padded).to(device)
        self.labels = torch.from_numpy(labels).to(device)
        # Of some images: the statistics need no more.
        some = torch.from_numpy(images[:: max(1, len(images) // 5000)])
        some = some.to(device).float().flatten(0, 2)
        self._mean, self._std = some.mean(0), some.std(0)

    def __len__(self):
        return len(self.labels)

    def as_it_is(self, indices):
        """Images without augmentation, float32, shape (B, 3, H, W)."""
        height, width = self._size
        rows = self._pad + torch.arange(height, device=indices.device)
        columns = self._pad + torch.arange(width, device=indices.device)
        return self._gather(indices, rows[None], columns[None])

    def augmented(self, indices):
        """Images cropped at random, half of them flipped."""
        count, device = len(indices), indices.device
        height, width = self._size
        rows, columns = (
            torch.arange(length, device=device)
            + torch.randint(2 * self._pad + 1, (count, 1), device=device)
            for length in (height, width)
        )
        flip = torch.rand(count, 1, device=device) < 0.5
        columns = torch.where(flip, columns.flip(1), columns)
        return self._gather(indices, rows, columns)

    def _gather(self, indices, rows, columns):
        images = self._images[
            indices[:, None, None], rows[:, :, None], columns[:, None, :]
        ]
        # A view with channels last in memory, as convolutions want it.
        return ((images.float() - self._mean) / self._std).permute(0, 3, 1, 2)

    def use_statistics_of(self, other):
        """Normalise as another split is."""
        self._mean, self._std = other._mean, other._std
        return self


def drawn_images(train=480, test=200, size=32, classes=10, seed=0):
    """Images that can be told apart: stripes of a direction for each class.

    Returns:
        dict[str, ndarray]: As `cifar10_data.load`.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    arrays = {}
    for split, count in (('train', train), ('test', test)):
        labels = np.arange(count) % classes
        angle = (np.pi * labels / classes)[:, None, None]
        phase = rng.random((count, 1, 1)) * 2 * np.pi
        wave = np.sin(12 * (x * np.cos(angle) + y * np.sin(angle)) + phase)
        images = (
            128
            + 60 * wave[..., None]
            + rng.normal(0, 40, (count, size, size, 3))
        )
        arrays[f'{split}_images'] = images.clip(0, 255).astype(np.uint8)
        arrays[f'{split}_labels'] = labels.astype(np.int64)
    return arrays


def patches(images, count=5000):
    """All 2 x 2 patches of some images, float32, shape (M, 12)."""
    inputs = images.as_it_is(
        torch.arange(min(count, len(images)), device=images.labels.device)
    )
    columns = F.unfold(inputs, 2)
    return columns.transpose(1, 2).reshape(-1, columns.shape[1])
