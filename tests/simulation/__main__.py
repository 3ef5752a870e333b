"""`python -m simulation`: see `simulation.cli`."""

import sys

from simulation.cli import main

# Guarded: the processes of the pool import this module again.
if __name__ == "__main__":
    sys.exit(main())
