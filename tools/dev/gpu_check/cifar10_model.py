"""A small convolutional network that learns CIFAR-10 in seconds."""

import functools

import torch
from mmengine.model import BaseModel
from torch import nn

from tools.dev.gpu_check.cifar10_images import patches


class Block(nn.Sequential):
    """Two convolutions, the first with pooling, each normalised.

    Args:
        inputs (int): Channels that come in.
        outputs (int): Channels that go out, at least as many.
    """

    def __init__(self, inputs, outputs):
        super().__init__(
            near_identity(inputs, outputs),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(outputs),
            nn.GELU(),
            near_identity(outputs, outputs),
            nn.BatchNorm2d(outputs),
            nn.GELU(),
        )


def near_identity(inputs, outputs):
    """A 3 x 3 convolution whose first channels pass the input on."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight.data[: min(inputs, outputs)])
    return conv


@functools.lru_cache(maxsize=1)
def whitening_filters(images):
    """Filters that decorrelate the patches of images, with both signs.

    Args:
        images (DeviceImages): The training images.

    Returns:
        Tensor: Shape (24, 3, 2, 2), on the CPU.
    """
    values, vectors = torch.linalg.eigh(patches(images).T.cov().cpu())
    filters = vectors.T / (values + 5e-4).sqrt()[:, None]
    return torch.cat([filters, -filters]).view(-1, 3, 2, 2)


def whitening(images):
    """A convolution with fixed whitening filters; its bias is trained."""
    filters = whitening_filters(images)
    conv = nn.Conv2d(3, len(filters), 2)
    conv.weight.data.copy_(filters)
    conv.weight.requires_grad_(False)
    return conv


class FastNet(BaseModel):
    """A classifier that fetches its images by index from the device.

    A network in the manner of the fast recipes for CIFAR-10: fixed whitening
    convolution, three blocks, scaled logits, smoothed labels.

    Args:
        images (DeviceImages): The training images.
        width (int): Channels of the first block. Defaults to 64.
        smoothing (float): Label smoothing, in [0, 1). Defaults to 0.2.
        bfloat16 (bool): Whether to compute in bfloat16. Defaults to True.

    References:
        `94% on CIFAR-10 in 3.29 Seconds on a Single GPU
        <https://arxiv.org/abs/2404.00498>`_.
    """

    def __init__(self, images, width=64, smoothing=0.2, bfloat16=True):
        super().__init__()
        classes = int(images.labels.max()) + 1
        self.net = nn.Sequential(
            whitening(images),
            nn.GELU(),
            Block(24, width),
            Block(width, 4 * width),
            Block(4 * width, 4 * width),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, classes, bias=False),
        ).to(memory_format=torch.channels_last)
        self.loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
        self._images = images
        self._bfloat16 = bfloat16
        self._losses = []

    def forward(self, inputs, mode='tensor'):
        """Logits, float32, shape (B, classes)."""
        with torch.autocast(
            inputs.device.type, torch.bfloat16, enabled=self._bfloat16
        ):
            return self.net(inputs).float() / 9

    def train_step(self, data, optim_wrapper):
        """Learn from the images with these indices.

        MMEngine reads every value that is returned, and so waits for the
        device. The losses stay there instead, see :meth:`take_loss`.
        """
        indices = data.to(self._images.labels.device, non_blocking=True)
        logits = self(self._images.augmented(indices))
        loss = self.loss(logits, self._images.labels[indices])
        optim_wrapper.update_params(loss)
        self._losses.append(loss.detach())
        return {}

    def take_loss(self, last):
        """Mean training loss of the last batches; forgets them all."""
        losses, self._losses = self._losses[-last:], []
        return torch.stack(losses).mean().item()


@torch.no_grad()
def accuracies(model, images, batch=2000):
    """Shares of the images that are classified correctly.

    Args:
        model (FastNet): The model.
        images (DeviceImages): The test images.
        batch (int): Images at a time. Defaults to 2000.

    Returns:
        tuple[float, float]: As they are, and by the mean of the logits of
        an image and of its mirror image, in per cent.
    """
    training = model.training
    model.eval()
    correct = torch.zeros(2, device=images.labels.device)
    everything = torch.arange(len(images), device=images.labels.device)
    for indices in everything.split(batch):
        inputs = images.as_it_is(indices)
        plain = model(inputs)
        both = plain + model(inputs.flip(3))
        for i, logits in enumerate((plain, both)):
            correct[i] += (logits.argmax(1) == images.labels[indices]).sum()
    model.train(training)
    plain, mirrored = (100 * correct / len(images)).tolist()
    return plain, mirrored
