"""The same as `python -m bls_mm check-zoo`."""

import sys

from bls_mm.commands.check_zoo import main, parse_args

__all__ = ['main', 'parse_args']

if __name__ == '__main__':
    sys.exit(main())
