"""Docstrings against the code: no setting is told another default."""

import importlib
import inspect
import pkgutil
import re

import pytest

import bls_mm


def documented():
    """Classes and functions of the package that describe arguments."""
    for info in pkgutil.walk_packages(bls_mm.__path__, 'bls_mm.'):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if getattr(value, '__module__', None) != info.name:
                continue
            things = {name: value}
            if inspect.isclass(value):
                for key in vars(value):
                    things[f'{name}.{key}'] = getattr(value, key)
            for title, thing in things.items():
                if callable(thing) and 'Args:\n' in (thing.__doc__ or ''):
                    yield pytest.param(thing, id=f'{info.name}.{title}')


def arguments_of(thing):
    """Arguments in a docstring: name -> the default that it tells, if any."""
    section = inspect.getdoc(thing).partition('Args:\n')[2]
    section = section.partition('\n\n')[0]
    told = {}
    for entry in re.split(r'\n(?=    \S)', section):
        name = re.match(r' *\**(\w+)( \(|:)', entry)[1]
        entry = ' '.join(entry.split())
        # A default may be explained: "None, a random one."
        default = re.search(r'Defaults to (.+?)(, [^=]*)?\.$', entry)
        told[name] = default and default[1].strip('`')
    return told


@pytest.mark.parametrize('thing', list(documented()))
def test_docstring_tells_arguments_and_defaults_of_the_code(thing):
    parameters = inspect.signature(thing).parameters
    told = arguments_of(thing)
    assert set(told) <= set(parameters)
    for name, default in told.items():
        if default is None:
            continue
        try:
            value = eval(default, {'__builtins__': {}, 'dict': dict})
        except (NameError, SyntaxError):
            continue  # told in words
        assert value == parameters[name].default, name
