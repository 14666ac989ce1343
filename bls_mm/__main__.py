"""`python -m bls_mm`."""

import sys

from .cli import main

if __name__ == '__main__':
    sys.exit(main(prog='python -m bls_mm'))
