"""A dataset of small pictures, and a visualizer that draws on them."""

import random

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.registry import (
    DATASETS,
    FUNCTIONS,
    MODELS,
    TRANSFORMS,
    VISUALIZERS,
)
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer
from toy import ToyModel


@TRANSFORMS.register_module(force=True)
class LoadPicture:
    """A picture of one colour, blue being the sample's number."""

    def __call__(self, results):
        image = np.zeros((8, 12, 3), np.uint8)
        image[..., 0] = results['number']  # blue, as OpenCV has it
        return dict(results, img=image)


@TRANSFORMS.register_module(force=True)
class Augment:
    """Noise of all random states that there are."""

    def __call__(self, results):
        of_numpy = np.random.rand()  # noqa: NPY002
        noise = random.random() + of_numpy + float(torch.rand(()))
        return dict(results, noise=noise, img=255 - results['img'])


@TRANSFORMS.register_module(force=True)
class PackPicture:
    def __call__(self, results):
        sample = BaseDataElement(gt=results['gt_label'])
        return dict(
            inputs=results['img'],
            data_samples=sample,
            noise=results.get('noise', 0.0),
            number=results['number'],
            gt_label=results['gt_label'],
        )


@DATASETS.register_module(force=True)
class Pictures(BaseDataset):
    """``size`` pictures of two classes, numbered from ``offset`` on."""

    METAINFO = dict(classes=('low', 'high'))

    def __init__(self, size=24, offset=0, pipeline=None):
        self.size, self.offset = size, offset
        if pipeline is None:
            types = ('LoadPicture', 'Augment', 'PackPicture')
            pipeline = [dict(type=name) for name in types]
        super().__init__(pipeline=pipeline)

    def load_data_list(self):
        numbers = range(self.offset, self.offset + self.size)
        return [
            dict(number=n, gt_label=n % 2, img_path=f'images/{n}.png')
            for n in numbers
        ]


@FUNCTIONS.register_module(force=True)
def collate_pictures(batch):
    """What ``ToyModel`` takes: points that the noise has moved."""
    number = torch.tensor([item['number'] for item in batch])
    noise = torch.tensor([item['noise'] for item in batch])
    return dict(
        inputs=torch.stack([number / 10.0, noise.float()], 1),
        label=torch.tensor([item['gt_label'] for item in batch]),
        number=number,
    )


@MODELS.register_module(force=True)
class RestlessModel(ToyModel):
    """Draws random numbers in each step, as dropout does."""

    def forward(self, inputs, label, number, mode='tensor'):
        of_numpy = np.random.rand()  # noqa: NPY002
        inputs = inputs + torch.rand_like(inputs) + of_numpy
        return super().forward(inputs + random.random(), label, number, mode)


@VISUALIZERS.register_module(force=True)
class RestlessVisualizer(Visualizer):
    """Paints the ground truth red, and leaves other random states behind."""

    calls = 0

    def add_datasample(
        self, name, image, data_sample, draw_gt=True, draw_pred=True
    ):
        type(self).calls += 1
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.manual_seed(0)
        image = image.copy()
        image[..., 0] = 100 + data_sample.gt
        self.add_image(name, image)


def on_pictures(**changes):
    """Changes of :func:`toy.make_config` for a run on pictures."""
    return dict(
        {
            'model': dict(type='RestlessModel'),
            'train_dataloader__dataset': dict(type='Pictures'),
            'train_dataloader__collate_fn': dict(type='collate_pictures'),
            'visualizer': dict(
                type='RestlessVisualizer',
                vis_backends=[dict(type='LocalVisBackend')],
            ),
        },
        **changes,
    )
