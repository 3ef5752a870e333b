"""Turn a job's answer into its outcome: join, verify, write rows and rejects."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reembed.core.canaries import plan_canaries
from reembed.core.join import Joined
from reembed.core.manifest import TokenCounts
from reembed.core.pack import need_of_requests
from reembed.core.records import Outcome
from reembed.core.row_errors import RowError
from reembed.core.rows import Lineage, first_rows, reject_table
from reembed.destinations.parts import write_rejects
from reembed.driver.context import Context
from reembed.driver.intake import (
    ANSWERED,
    CollectedAnswer,
    ExpectedAnswer,
    PartOptions,
    VectorMemory,
    collect_part,
    collect_stream,
)
from reembed.driver.render import ordinals_in_wire_order
from reembed.errors import AlreadyExistsError
from reembed.machine.endings import Ending, ending_after_answers, retry_history, split_attempt
from reembed.machine.states import AttemptState, PendingOutcome, ShardState
from reembed.providers.base import Job


def join_answer(
    context: Context, state: ShardState, path: str, job: Job, memory: VectorMemory
) -> PendingOutcome:
    """Join an attempt's answer as it comes; write its rows and rejects; work out its outcome.

    Rows of an attempt that leaves nothing open are the shard's part at once; others wait in the
    work folder for a merge. An answer that does not verify is fetched once more, as a file: a
    transfer that was damaged must not halt the run. If that does not verify either, it is kept in
    quarantine.

    Raises:
        RemoteNotFoundError: the answer is gone.
        TransientError: it did not come whole; nothing was written.
    """
    attempt = state.attempts[path]
    assert attempt.created is not None
    assert attempt.job is not None
    manifest = context.manifest(state.plan.shard)
    unsent = unsent_of(context, state, attempt)
    # A job that ended well after all is verified as a whole, with what its sender sent: checked
    # against the fewer requests of this attempt, its other answers would read as foreign keys.
    sender = state.attempts[attempt.created.made_for or attempt.path]
    ordinals = [n for n in ordinals_in_wire_order(state.plan, sender.ordinals) if n not in unsent]
    canaries = plan_canaries(state.plan.requests) if sender.ordinals is None else ()
    wanted = frozenset(ordinals_in_wire_order(state.plan, attempt.ordinals))
    lineage = lineage_of(context, state, attempt)
    local = context.scratch / f"{state.plan.shard}-{attempt.path}.rows"
    local.unlink(missing_ok=True)
    expected = ExpectedAnswer(
        manifest,
        state.plan.fingerprint,
        ordinals,
        canaries,
        lineage,
        None if sender is attempt else wanted,
        inline=not attempt.created.input_file,
    )
    collected = _collect(context, job, expected, local, memory)
    if not collected.verdict.ok:
        ended = _quarantine(context, state, attempt, _answer_of(local), collected)
        return replace(ended, answer_bytes=collected.answer_bytes)
    wanted = frozenset(n for n in wanted if n < state.plan.requests)
    errors = {n: e for n, e in {**collected.joined.errors, **unsent}.items() if n in wanted}
    need = need_of_requests(manifest, context.packing)
    history = retry_history(sender.path, {path: a.outcome for path, a in state.attempts.items()})
    history = replace(history, attempt=attempt.path)
    ending = ending_after_answers(history, errors, context.config.batch.max_attempts, need)
    outcome = Outcome(
        state=attempt.job.state,
        job=attempt.created.job,
        end_time=attempt.job.end_time,
        rows=collected.part.rows if collected.part else 0,
        rows_uri=_publish_rows(context, state, attempt, local, collected, bool(ending.children)),
        tokens=_tokens(
            manifest, collected.joined, {c.ordinal: c.original for c in canaries}, wanted
        ),
    )
    outcome = with_ending(context, state, attempt, manifest, outcome, ending)
    return PendingOutcome(outcome, answer_bytes=collected.answer_bytes)


def _collect(
    context: Context, job: Job, expected: ExpectedAnswer, local: Path, memory: VectorMemory
) -> CollectedAnswer:
    """Make the part at `local`; of an answer that does not verify, leave the answer instead."""
    options = PartOptions(
        include_text=context.config.destination.text,
        compression=context.config.destination.parquet.compression,
    )
    reader = context.wire.answer_reader
    collected = collect_stream(
        expected, lambda i: context.service.stream(job, i), local, memory, reader, options
    )
    if not collected.verdict.ok:
        # The file that goes into quarantine must be the very answer that was verified.
        context.service.fetch(job, _answer_of(local))
        collected = collect_part(expected, _answer_of(local), local, memory, reader, options)
        if collected.verdict.ok:
            _answer_of(local).unlink()
    return collected


def _answer_of(local: Path) -> Path:
    return local.with_suffix(".answer")


def repay(
    context: Context, state: ShardState, attempt: AttemptState, outcome_state: str, anomaly: str
) -> PendingOutcome:
    """Outcome of an answer that cannot be used; recorded only once the user accepts to pay again.

    It sends all of the attempt's requests once more.
    """
    manifest = context.manifest(state.plan.shard)
    planned = state.plan.requests
    wanted = ordinals_in_wire_order(state.plan, attempt.ordinals)
    ordinals = sorted(n for n in wanted if n < planned)
    job = attempt.created.job if attempt.created is not None else ""
    need = need_of_requests(manifest, context.packing)
    children = split_attempt(attempt.path, ordinals, 1, need)
    canaries = [c.original for c in plan_canaries(planned)] if attempt.ordinals is None else []
    # Counted as paid, by estimate: the token counts of the answer itself are in question.
    paid = _estimated(manifest, [*ordinals, *canaries])
    return PendingOutcome(
        Outcome(state=outcome_state, job=job, children=children, tokens=paid), anomaly
    )


def lineage_of(context: Context, state: ShardState, attempt: AttemptState | None) -> Lineage:
    """Lineage of an attempt's rows; `embedded_at` is the job's end."""
    model = context.config.model
    job = attempt.job if attempt is not None else None
    return Lineage(
        run=context.rules.run,
        shard=state.plan.shard,
        job=job.name if job is not None else "",
        attempt=attempt.path if attempt is not None else "",
        embedded_at=_time(job.end_time if job is not None else ""),
        model=model.name,
        dimensions=model.dimensions,
        task=model.task,
    )


def with_ending(
    context: Context,
    state: ShardState,
    attempt: AttemptState,
    manifest: pa.Table,
    outcome: Outcome,
    ending: Ending,
) -> Outcome:
    """Write the rejects of an ending; return the outcome with their file and the children."""
    lineage = lineage_of(context, state, attempt)
    rejects = reject_table(manifest, ending.rejects, lineage, planned=False)
    uri = ""
    if rejects.num_rows:
        name = f"{attempt.path}.{_digest(ending)}.rejects.parquet"
        uri = context.layout.work(context.commit, state.plan.shard, name)
        local = context.scratch / f"{state.plan.shard}-{attempt.path}.rejects"
        local.unlink(missing_ok=True)
        write_rejects(local, rejects.to_batches(), {})
        _publish(context, local, uri)
    return outcome.model_copy(
        update={
            "children": dict(ending.children),
            "rejects": rejects.num_rows,
            "errors_uri": uri,
            "delay_seconds": ending.delay_seconds,
        }
    )


def _digest(ending: Ending) -> str:
    """Name a set of rejects, as `Joined.answered` names rows."""
    found = sorted((ordinal, error.reason) for ordinal, error in ending.rejects.items())
    return hashlib.sha256(repr(found).encode()).hexdigest()[:16]


def _publish_rows(
    context: Context,
    state: ShardState,
    attempt: AttemptState,
    local: Path,
    collected: CollectedAnswer,
    goes_on: bool,
) -> str:
    if collected.part is None or not collected.part.rows:
        local.unlink(missing_ok=True)
        return ""
    answered = collected.joined.answered()
    if attempt.path != "0" or goes_on or state.plan.copies:
        # A process that died may have seen another answer: its file must not stand for ours.
        name = f"{attempt.path}.{answered}.rows.parquet"
        uri = context.layout.work(context.commit, state.plan.shard, name)
        _publish(context, local, uri)
        return uri
    uri = context.layout.part(context.commit, state.plan.shard)
    try:
        context.storage.publish(local, uri)
    except AlreadyExistsError:
        _correct(context, state, attempt, local, answered)
    return uri


def _correct(
    context: Context, state: ShardState, attempt: AttemptState, local: Path, answered: str
) -> None:
    """Replace a part that stands, unless it holds the same rows, or an outcome counts them."""
    uri = context.layout.part(context.commit, state.plan.shard)
    version = context.storage.stat(uri).generation
    with context.storage.open(uri) as stream:
        metadata = pq.read_metadata(stream).metadata or {}
    same = metadata.get(ANSWERED.encode(), b"").decode() == answered
    # A process that was held up for long finds the shard settled; what is counted must stand.
    if same or attempt.path in context.ledger.look(state.plan.shard).outcomes:
        local.unlink(missing_ok=True)
        return
    try:
        context.storage.publish(local, uri, replace=version)
    except AlreadyExistsError:
        local.unlink(missing_ok=True)  # another corrected it first, and its outcome counts that


def _publish(context: Context, local: Path, uri: str) -> None:
    try:
        context.storage.publish(local, uri)
    except AlreadyExistsError:
        # Another process joined the same job, and wrote the same rows: `embedded_at` is its end.
        local.unlink(missing_ok=True)


def _quarantine(
    context: Context,
    state: ShardState,
    attempt: AttemptState,
    answer: Path,
    collected: CollectedAnswer,
) -> PendingOutcome:
    uri = context.layout.quarantine(context.commit, state.plan.shard, attempt.path)
    _publish(context, answer, uri)
    seen = "; ".join(f"{finding.code}: {finding.message}" for finding in collected.verdict.reasons)
    assert attempt.created is not None
    anomaly = (
        f"the answer of {attempt.created.job} (shard {state.plan.shard}, attempt {attempt.path}) "
        f"cannot be trusted: {seen}. It is kept as {uri}; nothing more is bought until "
        "you decide (--accept-repay buys it again)"
    )
    return repay(context, state, attempt, "QUARANTINED", anomaly)


def unsent_of(context: Context, state: ShardState, attempt: AttemptState) -> dict[int, RowError]:
    """Requests that could not be rendered and were not sent, by ordinal; canaries too."""
    sender = (attempt.created.made_for if attempt.created is not None else "") or attempt.path
    found = context.ledger.read_unsent(state.plan.shard, sender, attempt.rendered_epoch)
    return {n: RowError(*why, at="submit") for n, why in found.requests.items()}


def _estimated(manifest: pa.Table, ordinals: Sequence[int]) -> dict[str, int]:
    """Tokens by modality as the plan estimates them."""
    modalities = manifest.column("modality").to_pylist()
    estimates = manifest.column("token_count").to_pylist()
    row_of = first_rows(manifest).tolist()
    total: Counter[str] = Counter()
    for ordinal in ordinals:
        total[modalities[row_of[ordinal]]] += estimates[row_of[ordinal]]
    return dict(sorted(total.items()))


def _tokens(
    manifest: pa.Table, joined: Joined, originals: Mapping[int, int], wanted: Container[int]
) -> dict[str, int]:
    """Tokens by modality as the service counted them, else as estimated; canaries included.

    Of a job that several attempts share, each counts what it wanted of it.
    """
    counts = TokenCounts.of(manifest)
    row_of = first_rows(manifest).tolist()
    total: Counter[str] = Counter()
    for ordinal, counted, ok in zip(
        joined.ordinals.tolist(), joined.tokens.tolist(), joined.ok.tolist(), strict=True
    ):
        request = originals.get(ordinal, ordinal)
        if ok and request in wanted:
            for modality, tokens in counts.of_row(row_of[request], counted):
                total[modality] += tokens
    return dict(sorted(total.items()))


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.fromtimestamp(0, UTC)
