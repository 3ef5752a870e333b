"""Run the command line by `python -m reembed`."""

from __future__ import annotations

from reembed.cli.main import main

if __name__ == "__main__":
    main()
