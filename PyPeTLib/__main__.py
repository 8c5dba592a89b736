"""``python -m PyPeTLib`` is the command ``pypet``."""

import sys

from PyPeTLib.cli import main

if __name__ == "__main__":
    sys.exit(main())
