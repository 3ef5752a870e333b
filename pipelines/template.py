"""What a Flex Template's launcher starts: parameters in, one job written for it to start.

python pipelines/template.py --command=plan --config=gs://bucket/job.yaml --runner=DataflowRunner
"""

from __future__ import annotations

import sys

from reembed.cli.exits import USAGE
from reembed.cli.main import main
from reembed.cli.template import template_arguments
from reembed.errors import UsageError

if __name__ == "__main__":
    try:
        arguments = template_arguments(sys.argv[1:])
    except UsageError as err:
        print(f"reembed: {err}", file=sys.stderr)
        sys.exit(USAGE)
    main(arguments)
