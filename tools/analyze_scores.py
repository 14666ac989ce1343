"""The same as `python -m bls_mm report`."""

from bls_mm.commands.report import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    main()
