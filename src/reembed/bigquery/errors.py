"""Translate the errors of BigQuery's libraries; tell which of them may pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.auth import exceptions as auth

from reembed.cloud.credentials import SIGN_IN_AGAIN
from reembed.cloud.errors import FOREIGN, cause_of, code_of, may_pass
from reembed.errors import (
    BigQueryConflictError,
    BigQueryDeniedError,
    BigQueryError,
    BigQueryNotFoundError,
    JobFailedError,
    StatementRefusedError,
)

# Seconds of silence that one request may take.
TIMEOUT: Final = 60.0
# https://cloud.google.com/bigquery/docs/error-messages. Some come with status 403 or 400, so the
# reason decides, not the status.
_TRANSIENT_REASONS: Final = frozenset(
    {"backendError", "internalError", "jobBackendError", "jobInternalError"}
    | {"jobRateLimitExceeded", "rateLimitExceeded"}
)
_REQUEST: Final = re.compile(r"^[A-Z]+ https?://\S+: ")
_REFUSED: Final = frozenset(
    {"bytesBilledLimitExceeded", "billingTierLimitExceeded", "invalidQuery", "resourcesExceeded"}
)
_CODES: Final = {400: "invalid", 401: "accessDenied", 403: "accessDenied", 404: "notFound"}
_CONFLICTS: Final = {409: "duplicate", 412: "conditionNotMet"}
_REMEDIES: Final = {
    "accessDenied": (
        "grant the account roles/bigquery.jobUser and roles/bigquery.readSessionUser on the "
        "project, roles/bigquery.dataViewer on what is read, roles/bigquery.dataEditor on what "
        "is written"
    ),
    "notFound": "check project, dataset, name and location",
    "duplicate": "the name is taken; choose another, or remove what has it",
    "conditionNotMet": "it was changed meanwhile; look at it, then try again",
    "invalid": "check the columns, types and conditions given",
    "invalidQuery": "check the statement, its columns and conditions",
    "bytesBilledLimitExceeded": "it would read more than was allowed; raise the limit",
    "quotaExceeded": "a quota of BigQuery is used up; wait, or ask for more",
    "stopped": "the job was cancelled; the same command starts it anew where it can",
}


def reason_of(err: BaseException) -> str:
    """Return the service's reason for an error, such as ``accessDenied``; empty: it gave none."""
    errors = err.errors if isinstance(err, api.GoogleAPICallError) else ()
    first = errors[0] if errors else None
    return str(first.get("reason", "")) if isinstance(first, dict) else ""


def is_transient(err: BaseException) -> bool:
    """Tell whether the same request may succeed later."""
    return may_pass(err) or reason_of(err) in _TRANSIENT_REASONS


def retrying(initial: float, deadline: float) -> Retry:
    """Make a retry policy for a request that may be sent twice; both arguments in seconds."""
    return Retry(
        predicate=is_transient, initial=initial, maximum=16.0, multiplier=2.0, timeout=deadline
    )


@contextmanager
def bigquery_errors(what: str, doing: str) -> Iterator[None]:
    """Translate errors of the libraries that are raised in the block.

    Args:
        what: the table, job or statement that the request was about.
        doing: a verb for the message, for instance ``read``.

    Raises:
        BigQueryError: or a subclass; says what was attempted, and the remedy.
    """
    try:
        yield
    except FOREIGN as err:
        raise _translated(err, what, doing) from err


def job_failure(result: dict[str, Any], what: str, job_id: str) -> BigQueryError:
    """Make the error of a job that ended with this ``errorResult``."""
    reason, text = str(result.get("reason", "")), _one_line(str(result.get("message", "")))
    kind = _kind(reason, JobFailedError)
    remedy = _remedy(reason, "the same command tries again, under another job id")
    message = f"{what}: job {job_id} failed: {text} ({reason}); {remedy}"
    return JobFailedError(message, job_id, reason) if kind is JobFailedError else kind(message)


def job_failed_before(result: dict[str, Any], what: str, job_id: str) -> JobFailedError:
    """Make the error for a job id that is given again although its job has failed."""
    reason, text = str(result.get("reason", "")), _one_line(str(result.get("message", "")))
    message = f"{what}: job {job_id} had failed already: {text} ({reason}); use another job id"
    return JobFailedError(message, job_id, reason)


def _translated(err: Exception, what: str, doing: str) -> BigQueryError:
    cause = cause_of(err)
    text = _one_line(getattr(cause, "message", "") or str(cause))
    if isinstance(cause, auth.RefreshError):
        return BigQueryDeniedError(f"{what}: the Google credentials were refused; {SIGN_IN_AGAIN}")
    if is_transient(cause):
        remedy = "check the network, then the same command resumes"
        return BigQueryError(f"{what}: cannot {doing}: BigQuery fails; {remedy}: {text}")
    code = code_of(cause)
    reason = reason_of(cause) or (_CODES | _CONFLICTS).get(code, "")
    kind = _kind(reason, BigQueryError)
    # The service gives the reason "invalid" for bad requests of any sort.
    if kind is BigQueryError and code == 400:
        kind = StatementRefusedError
    elif kind is BigQueryError and code in _CONFLICTS:
        kind = BigQueryConflictError
    remedy = _remedy(reason, "see BigQuery's message")
    return kind(f"{what}: cannot {doing} ({code or type(cause).__name__}); {remedy}: {text}")


def _kind(reason: str, other: type[BigQueryError]) -> type[BigQueryError]:
    if reason in _REFUSED:
        return StatementRefusedError
    kinds = {
        "accessDenied": BigQueryDeniedError,
        "conditionNotMet": BigQueryConflictError,
        "duplicate": BigQueryConflictError,
        "notFound": BigQueryNotFoundError,
    }
    return kinds.get(reason, other)


def _remedy(reason: str, otherwise: str) -> str:
    return _REMEDIES.get(reason, otherwise)


def _one_line(text: str) -> str:
    # The library adds the request before it, and job and location below it; our message has both.
    bare = _REQUEST.sub("", text.split("\n\nLocation:")[0])
    return " ".join(bare.split())[:500]
