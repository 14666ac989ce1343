"""One training of the study, through MMEngine's runner."""

import itertools
import tempfile
import time
from dataclasses import dataclass

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from bls_mm import PRUNERS
from bls_mm.pruners.infobatch import InfoBatch
from tools.dev.gpu_check.cifar10_images import DeviceImages, Indices
from tools.dev.gpu_check.cifar10_model import FastNet, accuracies


@PRUNERS.register_module()
class InfoBatchOfSamples(InfoBatch):
    """InfoBatch with a weight for each sample's gradient."""

    weighs_samples = True


# For each row: its pruner and settings of BLSHook, or that it is shorter.
ROWS = {
    'full': dict(),
    'InfoBatch': dict(pruner='InfoBatch'),
    'InfoBatch, weights of samples': dict(pruner='InfoBatchOfSamples'),
    'Importance': dict(pruner='Importance'),
    'random, in turns': dict(pruner=dict(type='Importance', power=0)),
    'SeTa': dict(pruner='SeTa'),
    'RandomPrune': dict(pruner='RandomPrune'),
    'fewer epochs': dict(shorter=True),
    'InfoBatch, EMAScore': dict(
        pruner='InfoBatch',
        hook=dict(score=dict(type='EMAScore', alpha=0.9), per_sample=False),
    ),
}
_NUMBERS = itertools.count()  # MMEngine's loggers and hubs go by name


@dataclass
class Settings:
    """What all runs have in common.

    Attributes:
        device (str): 'cuda' or 'cpu'.
        batch (int): Batch size.
        width (int): Channels of the network's first block.
        lr (float): Learning rate at its peak.
        weight_decay (float): Of convolutions and the classifier.
        saving (float): Share of the visits that rows other than `full` leave
            out, in (0, 1).
    """

    device: str
    batch: int = 512
    width: int = 64
    lr: float = 0.75
    weight_decay: float = 1e-3
    saving: float = 0.4


@dataclass
class Splits:
    """Both splits on the device."""

    train: DeviceImages
    test: DeviceImages

    @classmethod
    def from_arrays(cls, arrays, device):
        """Of what `cifar10_data.load` returns."""
        train, test = (
            DeviceImages(
                arrays[f'{split}_images'], arrays[f'{split}_labels'], device
            )
            for split in ('train', 'test')
        )
        return cls(train, test.use_statistics_of(train))


def epochs_of(row, epochs, saving):
    """Epochs that a row has in a schedule of so many."""
    share = 1 - saving if ROWS[row].get('shorter') else 1
    return max(1, round(epochs * share))


def expected_visits(row, epochs, size, saving):
    """Samples that a run will visit, roughly."""
    pruned = 1 - saving if 'pruner' in ROWS[row] else 1
    return epochs_of(row, epochs, saving) * pruned * size


def train(row, epochs, seed, splits, settings):
    """Train once and test at the end.

    Args:
        row (str): Key of ``ROWS``.
        epochs (int): Epochs of the full run in this schedule.
        seed (int): Seed of weights, order, selection and augmentation.
        splits (Splits): The data.
        settings (Settings): The rest.

    Returns:
        dict: The run, with the fields of `cifar10_report`.
    """
    dataset = Indices(len(splits.train))  # the runner takes a copy
    with tempfile.TemporaryDirectory() as folder:
        runner = make_runner(
            row, epochs_of(row, epochs, settings.saving), seed, dataset,
            splits, settings, folder,
        )  # fmt: skip
        synchronize(settings.device)
        start = time.perf_counter()
        runner.train()
        synchronize(settings.device)
        seconds = time.perf_counter() - start
    plain, mirrored = accuracies(runner.model, splits.test)
    return dict(
        row=row,
        epochs=epochs,
        saving=0 if row == 'full' else settings.saving,
        seed=seed,
        accuracy=plain,
        accuracy_mirrored=mirrored,
        train_loss=runner.model.take_loss(len(dataset) // settings.batch),
        visits=runner.train_dataloader.dataset.visits,
        seconds=seconds,
        device=name_of(settings.device),
    )


def make_runner(row, epochs, seed, dataset, splits, settings, work_dir):
    """A runner that logs nothing and saves nothing."""
    pruner = ROWS[row].get('pruner')
    sampler, hooks = dict(type='DefaultSampler', shuffle=True), []
    if pruner:
        pruner = pruner if isinstance(pruner, dict) else dict(type=pruner)
        rule = dict(pruner, target_saving=settings.saving)
        sampler = dict(type='BLSSampler', pruner=rule)
        hooks = [dict(type='BLSHook', **ROWS[row].get('hook', {}))]
    # Runs with one seed start from the same weights.
    torch.manual_seed(seed)
    model = FastNet(
        splits.train, settings.width, bfloat16=settings.device == 'cuda'
    ).to(settings.device)
    steps = epochs * (len(dataset) // settings.batch)
    peak = max(1, round(0.2 * steps))
    return Runner(
        model=model,
        work_dir=work_dir,
        train_dataloader=dict(
            dataset=dataset,
            sampler=sampler,
            batch_size=settings.batch,
            num_workers=0,
            collate_fn=dict(type=as_it_came),
            # A last batch of another size would be another shape to tune
            # the convolutions for.
            drop_last=True,
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=OptimWrapper(make_optimizer(model, settings)),
        param_scheduler=[
            dict(
                type='LinearLR',
                by_epoch=False,
                start_factor=0.2,
                end=peak,
            ),
            dict(
                type='LinearLR',
                by_epoch=False,
                start_factor=1.0,
                end_factor=0.02,
                begin=peak,
                end=steps,
            ),
        ],
        default_hooks=dict(
            checkpoint=None, logger=dict(type='LoggerHook', interval=10**9)
        ),
        custom_hooks=hooks,
        default_scope='mmengine',
        env_cfg=dict(cudnn_benchmark=True),
        randomness=dict(seed=seed),
        log_level='ERROR',
        experiment_name=f'cifar10_{next(_NUMBERS)}',
    )


def make_optimizer(model, settings):
    """SGD with Nesterov's momentum; norms do not decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        dict(params=[p for p in parameters if p.ndim > 1]),
        dict(params=[p for p in parameters if p.ndim == 1], weight_decay=0),
    ]
    return torch.optim.SGD(
        groups,
        lr=settings.lr,
        momentum=0.85,
        weight_decay=settings.weight_decay,
        nesterov=True,
    )


def as_it_came(batch):
    """The dataset has made a batch already."""
    return batch


def synchronize(device):
    if device == 'cuda':
        torch.cuda.synchronize()


def name_of(device):
    return torch.cuda.get_device_name() if device == 'cuda' else device
