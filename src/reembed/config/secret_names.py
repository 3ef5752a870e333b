"""Names of secrets in Secret Manager, as a configuration gives them."""

from __future__ import annotations

import re

# https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
# A version is a number, `latest` or an alias; a regional secret has its location in the name.
_PROJECT = r"[a-z0-9][a-z0-9.:-]{1,62}"
_LOCATION = r"(?:locations/(?P<location>[a-z]+-[a-z]+[0-9]+)/)?"
_SECRET = r"secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63}"
SECRET_VERSION = rf"projects/{_PROJECT}/{_LOCATION}{_SECRET}"
_PATTERN = re.compile(SECRET_VERSION)


def is_secret_version(name: str) -> bool:
    """Tell whether a text is the full name of a version of a secret."""
    return _PATTERN.fullmatch(name) is not None


def location_of(name: str) -> str:
    """Return the location of a regional secret; empty for a replicated one."""
    match = _PATTERN.fullmatch(name)
    return (match["location"] or "") if match else ""
