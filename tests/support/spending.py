"""A process that spends: importable by name, so that a spawned process finds it."""

from dataclasses import replace

from reembed.core.records import Need
from reembed.ledger.reservation_log import ReservationLog
from reembed.ledger.run_dir import open_run_dir
from reembed.machine.quotas import Quotas
from support.waiting import DEADLINE

WIDE = Quotas(max_usd_nano=None, jobs=1000, tokens=10**9, file_bytes=10**12)
ONE = Need(usd_nano=10, tokens=100, jobs=1, input_bytes=1000, result_bytes=5000)


def early():
    return 0.0


def spend_ten(run_dir, number, start, answers):
    log = ReservationLog(open_run_dir(run_dir), 1)
    start.wait(timeout=DEADLINE)
    quotas = replace(WIDE, max_usd_nano=200)
    answers.put(sum(log.reserve(f"{number}-{n}", 1, ONE, quotas, early) for n in range(10)))
