"""The same as `python -m bls_mm make-config`."""

from bls_mm.commands.make_config import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    main()
