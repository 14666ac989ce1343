"""Settings of all tests."""

import torch

from bls_mm.checkpoint.trusted import trust_mmengine_classes

# The models here are so small that threads would only wait for each other.
torch.set_num_threads(1)

# As `tools/train.py` does; the original mmengine could not resume otherwise.
trust_mmengine_classes()
