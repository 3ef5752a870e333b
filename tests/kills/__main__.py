"""`python -m kills`; `./scripts/kills` sets the path."""

import sys

from kills.cli import main

if __name__ == "__main__":
    sys.exit(main())
