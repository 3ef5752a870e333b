"""Check that everything is in place: key, model, run directory, limits, source."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reembed.config.crosscheck import largest_chunk_tokens
from reembed.config.job_limits import job_limits
from reembed.config.load import ResolvedConfig
from reembed.errors import AccessDeniedError, AlreadyExistsError, ReembedError, RemoteNotFoundError
from reembed.ledger.run_dir import open_run_dir
from reembed.providers.base import ClosingService
from reembed.providers.open import find_provider
from reembed.sources.open import open_source
from reembed.storage.base import Storage


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `message` is a sentence, with the remedy where it is not ok."""

    name: str
    ok: bool
    message: str


def check_all(
    loaded: ResolvedConfig, storage: Storage, open_service: Callable[[], ClosingService]
) -> Iterator[Check]:
    """Yield every check that costs nothing, each by itself."""
    yield _guarded("source", lambda: _check_source(loaded, storage))
    yield _guarded("run directory", lambda: _check_run_dir(loaded, storage))
    yield _check_limits(loaded)
    yield _guarded("key and model", lambda: _check_model(loaded, open_service))


def _guarded(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except ReembedError as err:
        return Check(name, False, str(err))


def _check_source(loaded: ResolvedConfig, storage: Storage) -> str:
    return open_source(loaded, storage).describe()


def _check_run_dir(loaded: ResolvedConfig, storage: Storage) -> str:
    """Create, and create again: the promise that nothing is paid twice rests on the refusal."""
    open_run_dir(loaded.config.run_dir, storage).check_version()
    name = f"{loaded.config.run_dir}/ledger/clock/doctor-{secrets.token_hex(4)}"
    storage.create(name, b"{}")
    try:
        storage.create(name, b"{}")
    except AlreadyExistsError:
        return f"{loaded.config.run_dir} takes writes, and refuses a name that is taken"
    finally:
        storage.delete(name)
    raise ReembedError(
        f"{loaded.config.run_dir} let one name be created twice; a ledger there cannot keep "
        "anything from being paid twice: use a local disk or Cloud Storage"
    )


def _check_limits(loaded: ResolvedConfig) -> Check:
    config = loaded.config
    provider = find_provider(config.service)
    limits = job_limits(config, provider.capabilities)
    chunk, quota = largest_chunk_tokens(config), config.batch.enqueued_tokens
    rows = limits.result_bytes // provider.wire(config).result_line_bytes()
    if chunk > quota:
        message = (
            f"a chunk may have {chunk:,} tokens, and batch.enqueued_tokens is {quota:,}: cut "
            "smaller, or raise the quota if your tier allows more"
        )
        return Check("limits", False, message)
    message = (
        f"a job holds up to {min(limits.requests, rows):,} requests and {limits.tokens:,} tokens, "
        f"of {quota:,} that the project may have enqueued"
    )
    return Check("limits", True, message)


def _check_model(loaded: ResolvedConfig, open_service: Callable[[], ClosingService]) -> str:
    config = loaded.config
    provider = find_provider(config.service)
    try:
        with open_service() as service:
            info = service.model(config.model.name)
    except RemoteNotFoundError as err:
        raise ReembedError(
            f"the service does not know {config.model.name} ({err}); see model.name, "
            "service.base_url and service.api_version"
        ) from err
    except AccessDeniedError as err:
        raise ReembedError(f"the key is refused ({err}); check {provider.key_name()}") from err
    method = provider.capabilities.batch_method
    if method and info.methods and method not in info.methods:
        raise ReembedError(f"{config.model.name} offers no batch jobs ({', '.join(info.methods)})")
    most = config.model.spec().text.max_tokens
    if 0 < info.input_token_limit < most:
        raise ReembedError(
            f"the service takes {info.input_token_limit:,} tokens, the model table says {most:,}; "
            f"set model.limits.text.max_tokens to {info.input_token_limit}"
        )
    return f"the key is taken; {config.model.name} takes {info.input_token_limit:,} tokens"
