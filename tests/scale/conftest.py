"""The programs of benchmarks/scale are imported from where they lie."""

import sys

from e2e.harness import ROOT

sys.path.insert(0, str(ROOT / "benchmarks" / "scale"))
