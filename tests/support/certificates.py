"""Certificates for servers of tests, from an authority that is made with each."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import trustme


class Certificate(NamedTuple):
    """Files in PEM: the certificate with its authority's, which clients trust; and the key."""

    cert: str
    key: str


def certificate(folder: Path, host: str) -> Certificate:
    """Make a certificate for a host: a name or an address."""
    authority = trustme.CA()
    issued = authority.issue_cert(host)
    cert, key = folder / "cert.pem", folder / "key.pem"
    chain = [*issued.cert_chain_pems, authority.cert_pem]
    cert.write_bytes(b"".join(pem.bytes() for pem in chain))
    issued.private_key_pem.write_to_path(str(key))
    return Certificate(str(cert), str(key))
