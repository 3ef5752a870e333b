#!/usr/bin/env python3
"""Give a notice of reembed (JSON on standard input) to PagerDuty's Events API, version 2.

PAGERDUTY_ROUTING_KEY is the integration key of the service that is paged. PAGERDUTY_URL is for
tests. Needs nothing but Python.
"""

import json
import os
import sys
import urllib.request

SEVERITY = {"failed": "error", "capped": "warning", "stuck": "warning", "settled": "info"}

notice = json.load(sys.stdin)
event = {
    "routing_key": os.environ["PAGERDUTY_ROUTING_KEY"],
    "event_action": "trigger",
    # The same for the same news: a notice that comes twice makes no second incident.
    "dedup_key": notice["id"],
    "payload": {
        "summary": notice["text"][:1024],
        "source": notice["run_dir"],
        "severity": SEVERITY[notice["event"]],
        "custom_details": notice,
    },
}
request = urllib.request.Request(
    os.environ.get("PAGERDUTY_URL", "https://events.pagerduty.com/v2/enqueue"),
    data=json.dumps(event).encode(),
    headers={"content-type": "application/json"},
)
urllib.request.urlopen(request, timeout=10).close()
