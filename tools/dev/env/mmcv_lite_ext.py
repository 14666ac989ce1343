"""Stands in for the operators that mmcv-lite lacks: `mmcv/_ext.py`.

With it, packages that import `mmcv.ops` can be imported. Calling an operator
is an error.
"""


def __getattr__(name):
    if name.startswith('__'):
        raise AttributeError(name)

    def operator(*args, **kwargs):
        raise NotImplementedError(f'mmcv-lite has no operator `{name}`.')

    return operator
