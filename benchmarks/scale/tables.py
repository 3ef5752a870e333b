"""The tables of docs/scale.md: shards, objects, operations and their price, memory, workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from memory_use import Bytes
from operations import PER_SHARD, classes
from shape import MIX, SIZES, TEXT, TIERS, Corpus, Shape, Tier, Time, config_of, shape_of, time_of

from reembed.core.keys import BUCKETS
from reembed.core.price import format_usd, price
from reembed.driver.progress import RARELY_SECONDS
from reembed.ledger.reservation_log import is_folded
from reembed.providers.gemini.provider import CAPABILITIES
from reembed.sources.base import BLOCK_ITEMS

# Cloud Storage, Standard, regional in the US: dollars for 1,000 operations and for a GB and month,
# as https://cloud.google.com/storage/pricing had them; to be checked before you rely on it.
USD_CLASS_A, USD_CLASS_B, USD_GB_MONTH = 0.005 / 1000, 0.0004 / 1000, 0.020
PRICES_AS_OF = "2026-11-21"
PAGE = 1000
# Reading a file as a source: one look that pins its generation, one range of up to 4 MB; the same
# again for media, which are rendered from the source when their shard is sent.
PER_FILE = 2
# Parquet rows: 10.4 KB for 3,072 values were measured, and some 200 bytes of other columns.
BYTES_A_VALUE, BYTES_A_ROW = 3.4, 200
# Vectors a second that one core collects and texts of 2 KB that one core plans and renders, from
# benchmarks/README.md; measured on a shared machine.
COLLECT_RATE, PLAN_RATE = 5_500, 2_000
# What the in-process runner held of a plan of a million texts of 500 characters (the same page): it
# keeps in memory what it groups, which others write down.
IN_PROCESS_BYTES = 5_500
# Of these quotas the tables of objects, operations and memory are.
STATED = TIERS[2]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def said(number: float) -> str:
    """A number as people read it: 950, 12,300, 4.1 M, 2.0 G."""
    for size, word in ((10**9, " G"), (10**6, " M")):
        if number >= size:
            return f"{number / size:,.1f}{word}"
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def long(hours: float) -> str:
    """Hours, as days or years where there are many."""
    if hours < 72:
        return f"{hours:,.0f} h"
    days = hours / 24
    return f"{days:,.0f} days" if days < 730 else f"{days / 365:,.0f} years"


def quotas() -> str:
    """Shards, and time under each quota."""
    rows = []
    for corpus, word, sizes in ((TEXT, "text", SIZES), (MIX, "mix", SIZES[1:2])):
        for tier in TIERS:
            for chunks in sizes:
                shape = shape_of(corpus, chunks, tier)
                rows.append(_quota_row(word, tier, shape, time_of(shape, tier)))
    head = ["corpus", "quotas", "chunks", "rows a shard", "shards"]
    return table([*head, "tokens", "jobs", "file storage", "binds"], rows)


def _quota_row(word: str, tier: Tier, shape: Shape, time: Time) -> list[str]:
    return [
        word,
        tier.name,
        said(shape.chunks),
        said(shape.rows),
        said(shape.shards),
        long(time.tokens),
        long(time.jobs),
        long(time.files),
        time.binds,
    ]


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects of a settled run."""

    plan: int
    records: int
    spend: int
    folds: int
    rollups: int
    parts: int

    @classmethod
    def of(cls, shape: Shape) -> Objects:
        """What a run without a fault leaves; a listing only where the source is files."""
        created = {kind: n for (name, kind), n in PER_SHARD.items() if name == "create"}
        spend = round(created.pop("spend") * shape.shards)
        return cls(
            plan=shape.shards + 2 * shape.partitions + BUCKETS,
            records=round(sum(created.values()) * shape.shards),
            spend=spend,
            folds=_folds(spend),
            rollups=shape.partitions,
            parts=shape.shards,
        )

    @property
    def whole(self) -> int:
        """All of them."""
        counted = (self.plan, self.records, self.spend, self.folds, self.rollups, self.parts)
        return sum(counted)


def _folds(lines: int) -> int:
    # In steps of 256 all folds are met, and no other number is one.
    return sum(is_folded(number) for number in range(256, lines + 1, 256))


def objects() -> str:
    """Objects by kind, and pages of the listings that look at many."""
    shapes = [shape_of(TEXT, chunks, STATED) for chunks in SIZES]
    found = [Objects.of(shape) for shape in shapes]
    lines: list[tuple[str, Callable[[Objects], int]]] = [
        ("plan: manifests, partitions, listings, keys", lambda o: o.plan),
        ("records of shards (claim, created, outcome, settled)", lambda o: o.records),
        ("lines of the reservation log", lambda o: o.spend),
        ("folds of it", lambda o: o.folds),
        ("roll-ups", lambda o: o.rollups),
        ("parts", lambda o: o.parts),
        ("all objects", lambda o: o.whole),
        ("pages: the roll-ups, at each start and `status`", lambda o: -(-o.rollups // PAGE)),
        ("pages: the parts, at the end", lambda o: -(-o.parts // PAGE)),
        ("pages: every record, which nothing lists", lambda o: -(-(o.records + o.spend) // PAGE)),
    ]
    rows = [[name, *(said(of(each)) for each in found)] for name, of in lines]
    rows.append(["GB of parts, 768 values", *(said(_part_bytes(s) / 1e9) for s in shapes)])
    return table(["", *map(said, SIZES)], rows)


def _part_bytes(shape: Shape) -> float:
    return shape.chunks * (768 * BYTES_A_VALUE + BYTES_A_ROW)


def _usd(a: float, b: float) -> float:
    return a * USD_CLASS_A + b * USD_CLASS_B


def operations() -> str:
    """Operations of a whole run by what asks for them, and their price."""
    rows: list[list[str]] = []
    for chunks in SIZES:
        shape = shape_of(TEXT, chunks, STATED)
        for what, a, b in _asked(shape):
            rows.append([said(chunks), what, said(a), said(b), f"{_usd(a, b):,.2f}"])
        month = _part_bytes(shape) / 1e9 * USD_GB_MONTH
        rows.append([said(chunks), "parts, a month of storage", "", "", f"{month:,.2f}"])
        spec = "gemini-embedding-2"
        rows.append([said(chunks), f"the vectors themselves ({spec})", "", "", _model_usd(shape)])
    return table(["chunks", "what", "class A", "class B", "dollars"], rows)


def _model_usd(shape: Shape) -> str:
    tokens = {"text": shape.totals.all_tokens}
    return format_usd(price(tokens, config_of(STATED).model.spec()).batch_usd_nano).lstrip("$")


def _asked(shape: Shape) -> list[tuple[str, float, float]]:
    a, b = classes(PER_SHARD)
    hours = time_of(shape, STATED).hours
    spans = -(-shape.chunks // BLOCK_ITEMS)
    return [
        ("plan, a table or Parquet files as source", shape.shards + shape.partitions + BUCKETS, 0),
        ("plan, every chunk a file: more", shape.partitions, PER_FILE * shape.chunks + 3 * spans),
        ("shards, from claim to settled", a * shape.shards, b * shape.shards),
        ("one waiting lane's note of progress", hours * 3600 / RARELY_SECONDS, 0),
        ("the count at the end", -(-shape.shards // PAGE), 2 * shape.shards),
    ]


def memory(each: Bytes) -> str:
    """Memory of what is held whole, by process."""
    shapes = [shape_of(TEXT, chunks, STATED) for chunks in SIZES]
    lines: list[tuple[str, str, Callable[[Shape], float]]] = [
        ("`plan` in process", "all that it groups", lambda s: IN_PROCESS_BYTES * float(s.chunks)),
        ("`plan`, files as source", "items listed", lambda s: each.item * s.chunks),
        ("`plan`, a manifest", "8 bytes a key", lambda s: 8.0 * s.chunks),
        ("`plan`, a table, Parquet files", "spans", lambda s: 0.0),
        ("`plan`, an increment", "index of what is held", lambda s: each.held * s.chunks),
        (f"`plan`, a worker: one of {BUCKETS} buckets", "keys", lambda s: each.key * s.chunks / 64),
        ("`plan`, a worker", "one partition of texts", lambda s: 20_000 * 2_600.0),
        ("a lane of ten", "plans of its shards", lambda s: each.plan * s.shards / 10),
        (
            "a lane of ten, resumed at the end",
            "settlements",
            lambda s: each.settled * s.shards / 10,
        ),
        (
            "every lane, `status`",
            "attempts in the reservation log",
            lambda s: each.attempt * s.shards,
        ),
        ("hand-over of an increment of a tenth", "its keys", lambda s: each.fresh * s.chunks / 10),
    ]
    rows = [[who, what, *(_mb(of(shape)) for shape in shapes)] for who, what, of in lines]
    return table(["process", "holds", *map(said, SIZES)], rows)


def _mb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def workers() -> str:
    """What the quota lets through, the cores that collect it, and how much work a plan is."""
    rows = []
    for tier in TIERS:
        shape = shape_of(TEXT, 10**8, tier)
        seconds = time_of(shape, tier).hours * 3600
        rate = shape.chunks / seconds
        up, down = shape.totals.input_bytes / seconds, shape.totals.result_bytes / seconds
        share = rate / COLLECT_RATE
        rows.append(
            [tier.name, f"{rate:,.1f}", f"{up / 1e6:.2f}", f"{down / 1e6:.2f}", f"{share:.3f}"]
        )
    head = ["quotas", "vectors a second", "MB/s up", "MB/s down", "cores that collect"]
    return table(head, rows)


def planning() -> str:
    """Core hours of planning texts, whatever the quotas."""
    rows = [[said(chunks), f"{chunks / PLAN_RATE / 3600:,.0f}"] for chunks in SIZES]
    return table(["chunks", "core hours"], rows)


def files_a_day(corpus: Corpus, tier: Tier) -> float:
    """Chunks a day that the file storage lets through, whatever the other quotas say."""
    shape = shape_of(corpus, 10**8, tier)
    return shape.chunks / (time_of(shape, tier).files / 24)


def inline_rows() -> int:
    """Texts of one inline job, which leaves no files."""
    return CAPABILITIES.max_inline_bytes // TEXT.kinds[0].wire
