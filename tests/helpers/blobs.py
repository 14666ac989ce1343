"""A small image classification that a network learns in seconds."""

from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / 'configs/demo/resnet_mnist.py')
SIZE = 96


def write_blobs(folder):
    """Write blobs in noise, whose place is their class, as the digits are.

    Half of them are of one class, which is soon the easy one.

    Returns:
        dict: Options for ``CONFIG``: three epochs without data workers.
    """
    generator = np.random.default_rng(0)
    for split, size in (('train', SIZE), ('test', 20)):
        for number in range(size):
            label = max(0, number % 20 - 10)
            image = generator.normal(40, 20, (28, 28))
            row, column = divmod(label, 4)
            image[7 * row : 7 * row + 7, 7 * column : 7 * column + 7] += 160
            file = folder / split / str(label) / f'{number}.png'
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(file)
    options = {
        'train_cfg.max_epochs': 3,
        'train_cfg.val_interval': 3,
        'param_scheduler.total_steps': 3,
    }
    for split in ('train', 'val', 'test'):
        loader = f'{split}_dataloader'
        options[f'{loader}.dataset.data_root'] = str(folder)
        options[f'{loader}.num_workers'] = 0
        options[f'{loader}.persistent_workers'] = False
    return options
