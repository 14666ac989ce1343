"""States of a run, and ways to damage them."""

import io

import torch


def through_a_file(state):
    """What a checkpoint keeps of a state."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def same(state, other):
    """Whether two states have equal entries."""
    if isinstance(state, dict):
        return state.keys() == other.keys() and all(
            same(value, other[key]) for key, value in state.items()
        )
    if isinstance(state, list):
        return len(state) == len(other) and all(map(same, state, other))
    if isinstance(state, torch.Tensor):
        return torch.equal(state, other)
    return state == other


def having(**changes):
    return lambda state: dict(state, **changes)


def at(name, place, value):
    """One element of a tensor replaced."""

    def change(state):
        tensor = state[name].clone()
        tensor[place] = value
        return dict(state, **{name: tensor})

    return change


def through(name, function):
    return lambda state: dict(state, **{name: function(state[name])})
