"""Embed: from inputs in somebody's own pipeline to vectors, as one step of it.

The step keeps what `reembed run` promises: a price cap, nothing sent twice, counts that close. It
does so by the same records in a run directory, so a pipeline that died is started again and goes
on. Barriers between its parts (all inputs known, all packed, all settled) are side inputs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

import apache_beam as beam
import pyarrow.parquet as pq
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints import with_input_types, with_output_types
from apache_beam.utils.windowed_value import WindowedValue

from reembed.beam.blocks import ChunkBatch, from_bytes
from reembed.beam.chunk_items import Chunking, chunk_block
from reembed.beam.dataflow import is_dataflow
from reembed.beam.drive_shards import DriveShards, LaneSpec, deal_lanes
from reembed.beam.elements import Embedding, EmbedInput, EmbedReject, EmbedResult
from reembed.beam.engine import workers_of
from reembed.beam.pack_shards import pack_shards
from reembed.core.input_summary import InputSketch, InputSummary
from reembed.core.plans import PartitionPlan
from reembed.core.records import Settled
from reembed.errors import UsageError
from reembed.providers.open import packing_of
from reembed.runs.embed import (
    BegunRun,
    EmbedTask,
    NamedPlan,
    begin_run,
    check_keys,
    finish_run,
    load_embed_config,
    name_plan,
)
from reembed.sources.base import BLOCK_ITEMS, BLOCK_ROWS, Block
from reembed.sources.rows import resolve_item
from reembed.sources.uris import Resolver, is_data
from reembed.storage.base import Storage
from reembed.storage.names import is_gs
from reembed.storage.open import open_storage
from reembed.types import Item, Position, Reject

T = TypeVar("T")
_ROWS_AT_ONCE = 256


def check_input(element: Any) -> EmbedInput:
    """Check one input; a ``(key, text)`` pair is one too.

    Raises:
        UsageError: the key is missing, or a field is not text.
    """
    # By its fields: where a worker has decoded it by schema alone, its class is another.
    made = element if hasattr(element, "key") else EmbedInput(*element)
    made = EmbedInput(made.key, made.text, made.uri, made.title, made.metadata)
    shown = str(made)[:200]
    if not isinstance(made.key, str) or not made.key:
        raise UsageError(f"{shown}: the key is empty or not text; give each input a key of its own")
    for name, value in zip(made._fields, made, strict=True):
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{shown}: {name} is {type(value).__name__}; give text or None")
    if made.text is not None and made.uri is not None:
        raise UsageError(f"{shown}: it has both a text and a URI; give one of them")
    return made


def item_of(element: EmbedInput, partition: int, resolver: Resolver) -> Item:
    """Make the item of an input; its place in the partition follows when all are together."""
    text, uri, data = element.text, element.uri or "", None
    if is_data(uri):
        uri, data = "", uri
    item = Item(
        element.key,
        uri,
        Position(partition),
        title=element.title,
        metadata=element.metadata,
        text=text,
        data=data,
        reject=None if text is not None or element.uri is not None else _NO_CONTENT,
    )
    return resolve_item(item, resolver)


_NO_CONTENT = Reject("no_content", "the input has neither a text nor a URI; give one", "read")


def read_vectors(storage: Storage, uri: str) -> Iterator[Embedding]:
    """Read the vectors of one file, in order."""
    for row in _rows(storage, uri, Embedding._fields):
        yield Embedding(**row)


def read_rejects(storage: Storage, uri: str) -> Iterator[EmbedReject]:
    """Read the rejects of one file, in order."""
    for row in _rows(storage, uri, EmbedReject._fields):
        yield EmbedReject(**row)


def _rows(storage: Storage, uri: str, columns: Iterable[str]) -> Iterator[dict[str, Any]]:
    with storage.open(uri) as stream:
        file = pq.ParquetFile(stream)
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(columns), use_threads=False):
            yield from batch.to_pylist()


@with_input_types(EmbedInput | tuple[str, str])
class Embed(beam.PTransform):
    """Embed the inputs of a pipeline through batch jobs of the service.

    Input: `EmbedInput`, or ``(key, text)``; bounded. Output: `EmbedResult`, two collections:
    `vectors` of `Embedding` and `rejects` of `EmbedReject`. Vectors of one shard follow each other
    in the order of their keys; `Embedding.order` sorts all of them.

    The run directory belongs to this step. A pipeline that is started again over the same inputs
    goes on where the last one died: no request is sent again, and all vectors come out. Other
    inputs are refused.

    The API key is read on the workers, from their environment or from `service.api_key_secret`.

    Args:
        config: YAML file, or its content as a mapping, without inputs below `source`.
        run_dir: folder or ``gs://bucket/prefix``; stands above the configuration's.
        max_usd: most that the run may cost; stands above `budget.max_usd`.
        key_rotated: go on with another API key of the same project.

    Raises:
        ConfigError: a key is wrong; `run_dir` or `budget.max_usd` is missing.

    Example:
        >>> with beam.Pipeline() as pipeline:  # doctest: +SKIP
        ...     texts = pipeline | beam.Create([("a", "A violin."), ("b", "A river.")])
        ...     embedded = texts | Embed({"name": "notes"}, run_dir="runs/notes", max_usd=1)
        ...     embedded.vectors | beam.Map(lambda each: (each.key, each.embedding))
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Mapping[str, Any],
        *,
        run_dir: str | None = None,
        max_usd: float | None = None,
        key_rotated: bool = False,
    ) -> None:
        super().__init__()
        loaded, base = load_embed_config(config, run_dir, max_usd)
        self._task = EmbedTask(loaded, base, key_rotated=key_rotated)

    def expand(self, inputs: beam.PCollection[Any]) -> EmbedResult:
        """Plan, commit, drive, read."""
        task = _check_pipeline(self._task, inputs)
        items = inputs | "CheckInputs" >> CheckInputs()  # EmbedInput
        plan = items | "NamePlan" >> NamePlan(task)  # NamedPlan, one
        packed = items | "PackInputs" >> PackInputs(task, plan)  # PartitionPlan
        run = plan | "BeginRun" >> beam.ParDo(_Begin(task), _count(packed, "Packed"))  # BegunRun
        settled = run | "DriveRun" >> DriveRun(_lanes_of(task, inputs))  # (shard, Settled)
        ended = run | "EndRun" >> beam.ParDo(_End(), _count(settled, "Settled"))  # BegunRun
        vectors, rejects = ended | "Vectors" >> ReadVectors(), ended | "Rejects" >> ReadRejects()
        return EmbedResult(vectors, rejects)


def _check_pipeline(task: EmbedTask, inputs: beam.PCollection[Any]) -> EmbedTask:
    """Refuse what can only fail, or never end, on a worker."""
    if not inputs.is_bounded:
        raise UsageError("Embed takes a bounded collection: its price is known before it begins")
    paid, run_dir = is_dataflow(inputs.pipeline.options), task.config.run_dir
    if paid and not is_gs(run_dir):
        raise UsageError(
            f"run_dir: {run_dir} is on this machine, where Dataflow's workers cannot read it; "
            "give gs://bucket/…"
        )
    return EmbedTask(task.config, task.base, paid, task.key_rotated)


def _lanes_of(task: EmbedTask, inputs: beam.PCollection[Any]) -> int:
    return task.config.batch.lanes or workers_of(inputs.pipeline.options)


def _count(elements: beam.PCollection[Any], name: str) -> beam.pvalue.AsSingleton:
    """Give the number of elements as a side input: it is there when the last element is."""
    return beam.pvalue.AsSingleton(elements | f"Count{name}" >> beam.combiners.Count.Globally())


class CheckInputs(beam.PTransform):
    """Check inputs, whatever the windows of the pipeline: prices and plans are of all of them."""

    def expand(self, inputs: beam.PCollection[Any]) -> beam.PCollection[EmbedInput]:
        """Leave the windows, then check."""
        whole = inputs | "ToGlobalWindow" >> beam.WindowInto(GlobalWindows())
        return whole | "Check" >> beam.Map(check_input).with_output_types(EmbedInput)


class NamePlan(beam.PTransform):
    """Sum up all inputs, and name their plan."""

    def __init__(self, task: EmbedTask) -> None:
        super().__init__()
        self._task = task

    def expand(self, items: beam.PCollection[EmbedInput]) -> beam.PCollection[NamedPlan]:
        """Sum up, then name."""
        return (
            items
            | "Summarise" >> beam.CombineGlobally(_Summarise())  # InputSummary, one
            | "Name" >> beam.ParDo(_Name(self._task))  # NamedPlan, one
        )


class _Summarise(beam.CombineFn):
    def create_accumulator(self) -> InputSketch:
        return InputSketch()

    def add_input(self, sketch: InputSketch, element: EmbedInput) -> InputSketch:
        return sketch.add(element.key, (element.text, element.uri, element.title, element.metadata))

    def merge_accumulators(self, sketches: Iterable[InputSketch]) -> InputSketch:
        merged = InputSketch()
        for sketch in sketches:
            merged.merge(sketch)
        return merged

    def extract_output(self, sketch: InputSketch) -> InputSummary:
        return sketch.summary()


@with_input_types(InputSummary)
@with_output_types(NamedPlan)
class _Name(beam.DoFn):
    def __init__(self, task: EmbedTask) -> None:
        self._task = task

    def process(self, element: InputSummary) -> Iterator[NamedPlan]:
        yield name_plan(self._task, element)


class PackInputs(beam.PTransform):
    """Cut inputs, gather those of a partition, pack them; of a plan that stands, do nothing."""

    def __init__(self, task: EmbedTask, plan: beam.PCollection[NamedPlan]) -> None:
        super().__init__()
        self._task, self._plan = task, beam.pvalue.AsSingleton(plan)

    def expand(self, items: beam.PCollection[EmbedInput]) -> beam.PCollection[PartitionPlan]:
        """Cut, gather, pack."""
        return (
            items
            | "Chunk" >> beam.ParDo(_Chunk(self._task), self._plan)  # (partition, ChunkBatch)
            | "Gather" >> beam.GroupByKey()  # (partition, batches)
            | "Pack" >> beam.ParDo(_Pack(self._task), self._plan)  # PartitionPlan
        )


@with_input_types(EmbedInput, NamedPlan)
@with_output_types(tuple[int, ChunkBatch])
class _Chunk(beam.DoFn):
    """Cuts inputs in blocks of one partition: an element an input would cost several times more."""

    def __init__(self, task: EmbedTask) -> None:
        self._task = task

    def setup(self) -> None:
        self._chunking = Chunking.of(self._task.config, self._task.run_dir)
        self._resolver = Resolver(self._task.base, https=self._task.config.source.https)

    def start_bundle(self) -> None:
        self._items: dict[int, list[Item]] = {}

    def process(self, element: EmbedInput, plan: NamedPlan) -> Iterator[tuple[int, ChunkBatch]]:
        if plan.complete:
            return
        partition = plan.summary.partition_of(element.key)
        items = self._items.setdefault(partition, [])
        items.append(item_of(element, partition, self._resolver))
        # Media are cut by opening them, which is worth spreading over workers; texts are cheap.
        if len(items) >= (BLOCK_ROWS if element.text is not None else BLOCK_ITEMS):
            yield self._cut(partition)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for partition in list(self._items):
            yield GlobalWindows.windowed_value_at_end_of_window(self._cut(partition))

    def _cut(self, partition: int) -> tuple[int, ChunkBatch]:
        block = Block(partition, tuple(self._items.pop(partition)), ranked=True)
        return partition, chunk_block(self._chunking, block)


@with_input_types(tuple[int, Iterable[ChunkBatch]], NamedPlan)
@with_output_types(PartitionPlan)
class _Pack(beam.DoFn):
    def __init__(self, task: EmbedTask) -> None:
        self._task, self._packing = task, packing_of(task.config)

    def process(
        self, element: tuple[int, Iterable[ChunkBatch]], plan: NamedPlan
    ) -> Iterator[PartitionPlan]:
        partition, batches = element[0], list(element[1])
        # All inputs of a key are in one partition.
        check_keys([key for batch in batches for key in _keys(batch)])
        run_dir = self._task.run_dir
        yield pack_shards(run_dir, plan.plan, partition, batches, self._packing)


def _keys(batch: ChunkBatch) -> list[str]:
    return cast("list[str]", from_bytes(batch.keys).column("key").to_pylist())


@with_input_types(NamedPlan, int)
@with_output_types(BegunRun)
class _Begin(beam.DoFn):
    def __init__(self, task: EmbedTask) -> None:
        self._task = task

    def process(self, element: NamedPlan, packed: int) -> Iterator[BegunRun]:
        yield begin_run(self._task, element)


class DriveRun(beam.PTransform):
    """Drive the lanes of a run that was committed in this very pipeline."""

    def __init__(self, lanes: int) -> None:
        super().__init__()
        self._lanes = lanes

    def expand(self, run: beam.PCollection[BegunRun]) -> beam.PCollection[tuple[str, Settled]]:
        """Deal the lanes, then drive them."""
        session = beam.pvalue.AsSingleton(run | "Session" >> beam.Map(lambda each: each.session))
        return (
            run
            | "DealLanes" >> beam.ParDo(_Deal(self._lanes))  # LaneSpec
            | "Spread" >> beam.Reshuffle()
            | "DriveShards" >> DriveShards(session)  # (shard, Settled)
        )


@with_input_types(BegunRun)
@with_output_types(LaneSpec)
class _Deal(beam.DoFn):
    def __init__(self, lanes: int) -> None:
        self._lanes = lanes

    def process(self, element: BegunRun) -> Iterator[LaneSpec]:
        yield from () if element.over else deal_lanes(self._lanes)


@with_input_types(BegunRun, int)
@with_output_types(BegunRun)
class _End(beam.DoFn):
    def process(self, element: BegunRun, settled: int) -> Iterator[BegunRun]:
        if not element.over:
            finish_run(element.session)
        yield element


class ReadVectors(beam.PTransform):
    """Read the vectors of a run that has ended; a file has those of one shard."""

    def expand(self, ended: beam.PCollection[BegunRun]) -> beam.PCollection[Embedding]:
        """Share the files among the workers."""
        files = ended | "List" >> beam.ParDo(_List("vectors")) | "Spread" >> beam.Reshuffle()
        return files | "Read" >> beam.ParDo(_ReadVectorFile())


class ReadRejects(beam.PTransform):
    """Read the rejects of a run that has ended."""

    def expand(self, ended: beam.PCollection[BegunRun]) -> beam.PCollection[EmbedReject]:
        """Share the files among the workers."""
        files = ended | "List" >> beam.ParDo(_List("rejects")) | "Spread" >> beam.Reshuffle()
        return files | "Read" >> beam.ParDo(_ReadRejectFile())


@with_input_types(BegunRun)
@with_output_types(str)
class _List(beam.DoFn):
    """Lists the files of a run: the elements that readers share, a shard each."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def process(self, element: BegunRun) -> Iterator[str]:
        session = element.session
        run_dir = session.run_dir
        listed = run_dir.parts if self._folder == "vectors" else run_dir.reject_parts
        yield from (stat.uri for stat in listed(session.commit))


@with_input_types(str)
@with_output_types(Embedding)
class _ReadVectorFile(beam.DoFn):
    def process(self, element: str) -> Iterator[Embedding]:
        yield from read_vectors(open_storage(), element)


@with_input_types(str)
@with_output_types(EmbedReject)
class _ReadRejectFile(beam.DoFn):
    def process(self, element: str) -> Iterator[EmbedReject]:
        yield from read_rejects(open_storage(), element)
