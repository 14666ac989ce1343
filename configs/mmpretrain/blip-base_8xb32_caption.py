# Upstream's config does not say that `max_epochs` means a loop of epochs.
_base_ = 'mmpretrain::blip/blip-base_8xb32_caption.py'

train_cfg = dict(by_epoch=True)
