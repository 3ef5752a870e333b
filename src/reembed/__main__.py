"""`python -m reembed`: the command line."""

from __future__ import annotations

from reembed.cli.main import main

if __name__ == "__main__":
    main()
