"""The same as `python -m bls_mm train`."""

from bls_mm.commands.train import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    main()
