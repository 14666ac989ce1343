"""Which modules of a model compute its losses."""

import inspect
from typing import Any, Dict, List, Tuple

from torch import Tensor, nn

from bls_mm.runner.private import submodules

from .listened import can_listen


def find_loss_modules(
    model: nn.Module, left_alone: Any
) -> Dict[str, nn.Module]:
    """Outermost modules that reduce a loss and keep no state, by name."""
    found: Dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f'{outer}.') for outer in found)
        if not inside and _reduces(module) and module not in left_alone:
            stateless = not [*module.parameters(), *module.buffers()]
            if name and stateless and can_listen(module):
                found[name] = module
    return found


def find_places(
    model: nn.Module, name: str
) -> List[Tuple[Dict[str, Any], str, nn.Module]]:
    """Where the modules on the way to a named module are registered.

    Returns:
        list[tuple]: For each of them, the dict that holds it, its name there,
        and the module.
    """
    found = []
    for part in name.split('.'):
        held = submodules(model)
        model = held[part]
        found.append((held, part, model))
    return found


def takes_override(module: nn.Module) -> bool:
    """Whether a module takes the argument that OpenMMLab's losses take."""
    forward = inspect.signature(type(module).forward)
    return 'reduction_override' in forward.parameters


def has_reduction(module: nn.Module) -> bool:
    """Whether a module says how it reduces its losses."""
    return isinstance(getattr(module, 'reduction', None), str)


def may_be_loss(module: nn.Module, output: Any) -> bool:
    """Whether a module that reduces can have returned a loss.

    A module that pools features may have a ``reduction`` too.

    Args:
        module (Module): From :func:`find_loss_modules`.
        output (object): What a call of it returned.
    """
    if _is_loss(module) or not isinstance(output, Tensor):
        return True
    return output.numel() == 1 or module.reduction == 'none'


def _reduces(module: nn.Module) -> bool:
    return has_reduction(module) or _is_loss(module)


def _is_loss(module: nn.Module) -> bool:
    return takes_override(module) or type(module).__name__.endswith('Loss')
