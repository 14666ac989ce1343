"""Passes that have been selected before their turn."""

from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional

from torch import Tensor

from .next_pass import PlannedPass


class PassQueue:
    """The passes that follow the one in hand, as far as they are known.

    Workers load batches before their turn, so a pass may have to be selected
    while earlier ones are trained on.
    """

    def __init__(self) -> None:
        self._passes: Deque[PlannedPass] = deque()

    def __len__(self) -> int:
        return len(self._passes)

    def append(self, planned: PlannedPass) -> None:
        """Add the pass after the last one."""
        self._passes.append(planned)

    def take_first(self) -> PlannedPass:
        """Remove the pass whose turn it is."""
        return self._passes.popleft()

    def clear(self) -> None:
        """Forget all of them: they will be selected anew."""
        self._passes.clear()

    def change(self, function: Callable[[PlannedPass], PlannedPass]) -> None:
        """Put what a function makes of each of them in its place."""
        self._passes = deque(map(function, self._passes))

    @property
    def last(self) -> Optional[PlannedPass]:
        """The last of them; None if there is none."""
        return self._passes[-1] if self._passes else None

    @property
    def weights(self) -> List[Optional[Tensor]]:
        """The weights of each of them."""
        return [planned.weights for planned in self._passes]

    def find_indices(self, number: int) -> Optional[Dict[str, Any]]:
        """What the sampler yields in one of the passes.

        Args:
            number (int): Number of the pass.

        Returns:
            dict or None: ``pass_state`` of the sampler; None if the pass has
            not been selected, or is not one of those that follow.
        """
        for planned in self._passes:
            if planned.current.number == number:
                return planned.indices
        return None
