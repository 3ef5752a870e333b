"""Re-embed a corpus through asynchronous batch embedding jobs.

The command line's verbs as functions, for scripts, notebooks and services of your own:

    import reembed

    plan = reembed.plan("job.yaml")
    report = reembed.run("job.yaml", max_usd=plan.usd)
    rows = reembed.read("job.yaml")

`reembed.beam` has the same as steps of a Beam pipeline.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reembed.errors import (
    ComeAgainError,
    ConfigError,
    ReembedError,
    RunFailedError,
    ServiceError,
    StorageError,
    UsageError,
)
from reembed.version import __version__

if TYPE_CHECKING:
    from reembed.api import (
        Plan,
        Progress,
        Report,
        ResolvedConfig,
        RunStatus,
        load_config,
        plan,
        read,
        run,
        status,
    )

__all__ = [
    "ComeAgainError",
    "ConfigError",
    "Plan",
    "Progress",
    "ReembedError",
    "Report",
    "ResolvedConfig",
    "RunFailedError",
    "RunStatus",
    "ServiceError",
    "StorageError",
    "UsageError",
    "__version__",
    "load_config",
    "plan",
    "read",
    "run",
    "status",
]


def __getattr__(name: str) -> Any:
    """Import the functions when first asked for: they take a second, and errors do not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("reembed.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
