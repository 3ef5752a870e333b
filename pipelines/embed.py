"""Embed a configuration on any Beam runner, planning first where no plan is committed yet.

Beam's own options stand after ``--``; the same command resumes.

    python pipelines/embed.py CONFIG --max-usd 25 -- --runner=PrismRunner
"""

from __future__ import annotations

import sys

from reembed.cli.main import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
