"""Found by Python's start-up when this folder is on its path: watches the writes of the command."""

import os

if watched := os.environ.get("REEMBED_TEST_WRITES"):
    from kills.writes import Watch, install

    install(Watch.decode(watched))
