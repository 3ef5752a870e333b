"""Gemini's batch jobs as a provider: their capabilities, their wire format, their client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from reembed.config.capabilities import LONGEST_RESULT_SECONDS, Capabilities
from reembed.config.schema import Config, ServiceConfig
from reembed.providers.base import MinimalProvider
from reembed.providers.gemini.wire import GeminiWire
from reembed.providers.keys import DEFAULT_BASE_URL, KEY_VARIABLES, configured_key, resolve_base_url

if TYPE_CHECKING:
    from reembed.providers.gemini.client import GeminiService

# Each figure with its certainty: C confirmed in a vendor's page or source, R reported, U unknown.
CAPABILITIES: Final = Capabilities(
    price="batch",
    # Tokens of all active jobs: 500,000 in the first tier (C; reports of the others disagree).
    quota="enqueued_tokens",
    # `batches.list` gives display names (C). A create has no client token: sent twice, it is two
    # billed jobs, so a lost one must be found there.
    lists_jobs=True,
    # Nothing is documented (U): a cautious guess, which `batch.job_list_days` replaces.
    job_list_days=7.0,
    # A create over a file that was deleted is refused (C).
    inputs_fence=True,
    input_prefix="files/",
    # Among a model's supportedGenerationMethods (C).
    batch_method="asyncBatchEmbedContent",
    # Not documented (U): 10,000 and more were seen to work.
    max_requests=None,
    # 2 GB a file (C).
    max_input_bytes=2_000_000_000,
    # A create's body must stay below 20 MB (C), less what stands around the requests.
    max_inline_bytes=19_000_000,
    # Larger inline answers may not be fetchable (503, 504; R): the payload stands twice in the
    # reply of a get.
    inline_request_bytes=4_000_000,
    inline_result_bytes=4_000_000,
    # Files live for 48 hours (C), and generated result names are refused by the delete call (R).
    result_seconds=LONGEST_RESULT_SECONDS,
)


class GeminiBatch(MinimalProvider):
    """Batch jobs of Gemini's Developer API; see `Provider`."""

    capabilities: Final = CAPABILITIES

    def wire(self, config: Config) -> GeminiWire:
        """Make the wire format of a configuration."""
        return GeminiWire.of(config)

    def settle(self, environ: Mapping[str, str]) -> ServiceConfig:
        """Write the vendor's GOOGLE_GEMINI_BASE_URL into the section where it names no address.

        Frozen with the rest, it keeps a resume from going elsewhere unnoticed.

        Raises:
            UsageError: it is no http(s) URL.
        """
        base_url = resolve_base_url(self.settings.base_url, environ)
        if self.settings.base_url is not None or base_url == DEFAULT_BASE_URL:
            return self.settings
        return self.settings.model_copy(update={"base_url": base_url})

    def key(self, environ: Mapping[str, str]) -> str:
        """Find the API key: in the secret that the configuration names, or the environment.

        Raises:
            UsageError: there is none, it cannot be read, or it cannot be a key (never shown).
            SecretError: Secret Manager does not answer.
        """
        return configured_key(self.settings, environ)

    def key_name(self) -> str:
        """Name the place of the key: the secret, or the vendor's variable."""
        return self.settings.api_key_secret or KEY_VARIABLES[-1]

    def open(self, key: str) -> GeminiService:
        """Open the service; nothing is sent yet.

        Raises:
            UsageError: the key or the base URL cannot be one.
        """
        # Imported here: plans need the wire format alone, and no connections.
        from reembed.providers.gemini.client import open_service

        return open_service(self.settings, key)
