"""The Cloud Storage library's errors and retries, in this package's words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from reembed.cloud.credentials import SIGN_IN_AGAIN
from reembed.cloud.faults import FOREIGN, TRANSIENT_CODES, cause_of, code_of, may_pass
from reembed.errors import AlreadyExistsError, ObjectNotFoundError, StorageError

# Connecting, and the longest silence within an answer, in seconds.
TIMEOUT: Final = (10.0, 60.0)
DEADLINE: Final = 90.0
# What needs no object to be there: a 404 is about the bucket.
_BUCKET_ONLY: Final = frozenset({"write", "list"})
_FOREIGN: Final = (*FOREIGN, DataCorruption, InvalidResponse)


def is_transient(err: BaseException) -> bool:
    """Tell whether the same request may succeed later."""
    return may_pass(err) or _code(err) in TRANSIENT_CODES


def retrying(on_error: Callable[[Exception], Any] | None = None) -> Retry:
    """Make a retry policy for an idempotent or conditional request.

    Args:
        on_error: called with each error that leads to another attempt.
    """
    return Retry(
        predicate=is_transient,
        initial=0.5,
        maximum=16.0,
        multiplier=2.0,
        timeout=DEADLINE,
        on_error=on_error,
    )


@contextmanager
def gcs_errors(uri: str, doing: str) -> Iterator[None]:
    """Translate the library's errors.

    Args:
        uri: the object or bucket that the request was about.
        doing: a verb for the message, for instance ``read``.

    Raises:
        ObjectNotFoundError: 404.
        AlreadyExistsError: 412, a condition on the generation was not met.
        StorageError: everything else, with the remedy.
    """
    try:
        yield
    except _FOREIGN as err:
        raise _translated(err, uri, doing) from err


def _translated(err: Exception, uri: str, doing: str) -> StorageError:
    cause = cause_of(err)
    code = _code(cause)
    if code == 404:
        what = "bucket; make it or check its name" if doing in _BUCKET_ONLY else "object or bucket"
        return ObjectNotFoundError(f"{uri}: no such {what} (404)")
    if code == 412:
        return AlreadyExistsError(f"{uri}: the name is taken, or in another generation (412)")
    if code in (401, 403):
        remedy = "grant the account roles/storage.objectUser on the bucket"
        return StorageError(f"{uri}: no permission to {doing} ({code}); {remedy}: {cause}")
    if isinstance(cause, auth.RefreshError):
        return StorageError(f"{uri}: the Google credentials were refused; {SIGN_IN_AGAIN}: {cause}")
    if isinstance(cause, DataCorruption):
        return StorageError(f"{uri}: cannot {doing}: checksums differ; try again: {cause}")
    if is_transient(cause):
        remedy = "check the network, then the same command resumes"
        return StorageError(f"{uri}: cannot {doing}: Cloud Storage fails; {remedy}: {cause}")
    return StorageError(f"{uri}: cannot {doing}: {cause}")


def _code(err: BaseException) -> int:
    return int(err.response.status_code) if isinstance(err, InvalidResponse) else code_of(err)
