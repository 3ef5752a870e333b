"""The models that are served, with their limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MIN_DIMENSIONS = 128
MAX_DIMENSIONS = 3072

METHODS = ("embedContent", "batchEmbedContents", "countTokens", "asyncBatchEmbedContent")

_HONEST = (
    "Emulated on this machine. The vectors are lexical (hashed words, colours, spectra): near "
    "inputs get near vectors, but no model has seen them."
)


@dataclass(frozen=True, slots=True)
class Model:
    """Describe one embedding model.

    Attributes:
        name: Without the `models/` prefix.
        display_name: As `models.get` shows it.
        token_limit: Longer input is cut, silently.
        text_only: Whether media are refused.
        unit_length: Whether vectors below 3072 values are normalised.
        task_types: Whether `taskType` and `title` are accepted.
        seed: Of the projection: vectors of two models do not compare.
    """

    name: str
    display_name: str
    token_limit: int
    text_only: bool
    unit_length: bool
    task_types: bool
    seed: int

    def resource(self) -> dict[str, Any]:
        """Return the `Model` message."""
        return {
            "name": f"models/{self.name}",
            "version": self.name.rsplit("-", 1)[-1],
            "displayName": self.display_name,
            "description": _HONEST,
            "inputTokenLimit": self.token_limit,
            "outputTokenLimit": 1,
            "supportedGenerationMethods": list(METHODS),
        }


MODELS = {
    model.name: model
    for model in (
        Model("gemini-embedding-001", "Gemini Embedding 001", 2048, True, False, True, 1),
        Model("gemini-embedding-2", "Gemini Embedding 2", 8192, False, True, False, 2),
    )
}
