"""Every error the package raises.

ReembedError
├── UsageError          the user can mend it: configuration, options, input patterns   (exit 2)
│   ├── ConfigError     one key of the configuration
│   └── OtherVersionError   another version of reembed wrote the run directory
├── RunFailedError      the run cannot go on, or its counts do not close               (exit 1)
├── ComeAgainError      nothing is wrong; there is work left for a later call          (exit 75)
├── StagedError         nothing is wrong; a launcher goes on from the job that was written (exit 0)
├── SecretError         Secret Manager did not answer
├── RejectError         one item or chunk is unusable: becomes a row of rejects, not an exit
├── StorageError        Cloud Storage or disk
│   ├── AlreadyExistsError   create-if-absent found the name taken
│   └── ObjectNotFoundError
├── BigQueryError      BigQuery
│   ├── BigQueryNotFoundError   no such table, dataset or project
│   ├── BigQueryDeniedError     no credentials, or a permission is missing
│   ├── BigQueryConflictError   taken, or changed meanwhile
│   ├── StatementRefusedError    SQL, a column, a filter or a value that BigQuery cannot run
│   └── JobFailedError           a job ended badly; carries its id and the service's reason
├── NotificationError        people could not be told of a run; never ends one
└── ServiceError        the embedding service
    ├── RefusedError         4xx: sending the same again will not help
    ├── RemoteNotFoundError  404
    ├── NameTakenError       409: the chosen name exists
    ├── AccessDeniedError    401, 403: the key
    ├── QuotaError           429: later, perhaps after `retry_after` seconds
    ├── TransientError       5xx, a connection cut before the request was sent
    └── UnknownOutcomeError  sent, no answer: may or may not have happened

All pass every argument to `super().__init__`, so that they survive pickling between workers.
"""

from __future__ import annotations


class ReembedError(Exception):
    """Base of every error of this package."""


class UsageError(ReembedError):
    """User can mend it; the message says how. Exit code 2."""


class ConfigError(UsageError):
    """Key of the configuration is wrong.

    Args:
        key: dotted path, for instance ``model.dimensions``.
        value: what was given, as text.
        remedy: what to give instead.
    """

    def __init__(self, key: str, value: str, remedy: str) -> None:
        super().__init__(key, value, remedy)
        self.key, self.value, self.remedy = key, value, remedy

    def __str__(self) -> str:
        return f"{self.key}: {self.value}: {self.remedy}"


class OtherVersionError(UsageError):
    """Record was written by another version of this program, whose records this one cannot read.

    Args:
        where: the record, or the run directory that it lies in.
        writer: the version, as far as its schema tells.
        schema: the record's schema.
    """

    def __init__(self, where: str, writer: str, schema: int) -> None:
        super().__init__(where, writer, schema)
        self.where, self.writer, self.schema = where, writer, schema

    def __str__(self) -> str:
        return (
            f"{self.where} was written by reembed {self.writer} (record schema {self.schema}), "
            "which this version does not read: finish the run with that version, or give another "
            "run_dir"
        )


class RunFailedError(ReembedError):
    """Run cannot go on, or its counts do not close. Exit code 1."""


class ComeAgainError(ReembedError):
    """Work is left for a later call of the same command. Exit code 75."""


class StagedError(ReembedError):
    """Job was written for a launcher that starts it, as a Flex Template's does. Exit code 0."""


class SecretError(ReembedError):
    """Secret Manager did not answer, or its answer is damaged; the same call may work."""


class RejectError(ReembedError):
    """One item or chunk is unusable; carries what its reject will say.

    Args:
        code: short snake_case reason to group by, for instance ``pdf_encrypted``.
        message: a sentence that a person can act on.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class StorageError(ReembedError):
    """Cloud Storage or disk said no, or did not answer."""


class AlreadyExistsError(StorageError):
    """Create-if-absent found the name taken."""


class ObjectNotFoundError(StorageError):
    """Object is not there."""


class BigQueryError(ReembedError):
    """BigQuery said no, or did not answer."""


class BigQueryNotFoundError(BigQueryError):
    """Table, its dataset or its project is not there."""


class BigQueryDeniedError(BigQueryError):
    """There are no credentials, or they may not do this."""


class BigQueryConflictError(BigQueryError):
    """Name is taken, or what was to be changed is not what it was."""


class StatementRefusedError(BigQueryError):
    """Statement, a column, a filter or a value is none that BigQuery can run."""


class JobFailedError(BigQueryError):
    """Job of BigQuery ended badly; what it was to do is not done.

    Args:
        message: which job, what it says, and what to do.
        job_id: its id, which stands for this failure for good.
        reason: the service's word, for instance ``duplicate``, ``invalid``, ``backendError``.
    """

    def __init__(self, message: str, job_id: str = "", reason: str = "") -> None:
        super().__init__(message, job_id, reason)
        self.message, self.job_id, self.reason = message, job_id, reason

    def __str__(self) -> str:
        return self.message


class ServiceError(ReembedError):
    """Embedding service said no, or did not answer.

    Args:
        message: what happened, never with the key in it.
        code: HTTP status or google.rpc code, 0 when there was none.
    """

    def __init__(self, message: str, code: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message, code, retry_after)
        self.message, self.code, self.retry_after = message, code, retry_after

    def __str__(self) -> str:
        return self.message


class RefusedError(ServiceError):
    """4xx: sending the same again will not help."""


class NotificationError(ReembedError):
    """Webhook or a command did not take a notice; the run goes on.

    Args:
        message: why, without the webhook's address.
        transient: whether the same again may work.
    """

    def __init__(self, message: str, transient: bool = False) -> None:
        super().__init__(message, transient)
        self.message, self.transient = message, transient

    def __str__(self) -> str:
        return self.message


class RemoteNotFoundError(ServiceError):
    """Remote job or file is not there (404)."""


class NameTakenError(ServiceError):
    """Chosen name exists already (409)."""


class AccessDeniedError(ServiceError):
    """Key is missing, wrong, or may not do this (401, 403)."""


class QuotaError(ServiceError):
    """Too much for now (429); `retry_after` is in seconds where the service said so."""


class TransientError(ServiceError):
    """5xx, or a connection that failed before the request was sent: the same call may work."""


class UnknownOutcomeError(ServiceError):
    """Request was sent and no answer came: it may or may not have happened."""
