"""Settings of all tests."""

import torch

# The models here are so small that threads would only wait for each other.
torch.set_num_threads(1)
