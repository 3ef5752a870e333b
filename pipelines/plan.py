"""Plan a configuration on any Beam runner; Beam's own options stand after ``--``.

python pipelines/plan.py CONFIG -- --runner=PrismRunner
"""

from __future__ import annotations

import sys

from reembed.cli.main import main

if __name__ == "__main__":
    main(["plan", *sys.argv[1:]])
