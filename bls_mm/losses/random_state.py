"""Random number generators that a call may draw from."""

import random  # noqa: TID251  to leave its state as it is
from typing import Any, List

import numpy as np
import torch
from torch import Tensor


class RandomState:
    """State of the random number generators that everyone shares.

    Args:
        device (torch.device): Device of which to look at the generator, too.
        of_torch_only (bool): Whether to leave out those of Python and NumPy,
            which take ten times as long to read. Defaults to False.
    """

    def __init__(
        self, device: torch.device, of_torch_only: bool = False
    ) -> None:
        self._device = device
        self._module: Any = getattr(torch, device.type, None)
        if device.type in ('cpu', 'mps', 'meta'):
            self._module = None
        self._torch = self._torch_states()
        self._python: Any = None
        if not of_torch_only:
            self._python = random.getstate()
            self._numpy = np.random.get_state()  # noqa: NPY002  not to draw

    def is_changed(self) -> bool:
        """Whether numbers have been drawn since."""
        if not all(map(_equal, self._torch_states(), self._torch)):
            return True
        if self._python is None:
            return False
        now: Any = np.random.get_state()  # noqa: NPY002
        then: Any = self._numpy
        return (
            random.getstate() != self._python
            or now[2:] != then[2:]
            or not np.array_equal(now[1], then[1])
        )

    def restore(self) -> None:
        """Go back to the state that was read."""
        if self._python is not None:
            random.setstate(self._python)
            np.random.set_state(self._numpy)  # noqa: NPY002
        torch.set_rng_state(self._torch[0])  # noqa: TID251
        for state in self._torch[1:]:
            self._module.set_rng_state(state, self._device)

    def _torch_states(self) -> List[Tensor]:
        states = [torch.get_rng_state()]
        if self._module is not None:
            states.append(self._module.get_rng_state(self._device))
        return states


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two states are the same; they are on the CPU in any case."""
    return _bytes(one) == _bytes(other)


def _bytes(state: Tensor) -> bytes:
    return np.from_dlpack(state).tobytes()
