"""Which network addresses are public: everything else is somebody's inside."""

from __future__ import annotations

import ipaddress
import socket

# Answers to virtual machines of one vendor with their settings, though its number is a public one.
_METADATA = frozenset({"168.63.129.16"})
# Addresses of IPv6 that carry one of IPv4, which a gateway would follow.
_CARRIERS = tuple(map(ipaddress.IPv6Network, ("2002::/16", "2001::/32", "64:ff9b::/32")))


def is_public(address: str) -> bool:
    """Whether an address belongs to the open network.

    Loopback, private, link-local (with the metadata services), shared, multicast, reserved and
    unspecified addresses do not, nor what carries or maps one of them.

    Args:
        address: an address of IPv4 or IPv6 as text, perhaps with a zone.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if found.scope_id is not None or any(found in net for net in _CARRIERS):
            return False
    refused = found.is_multicast or found.is_reserved or str(found) in _METADATA
    return found.is_global and not refused


def addresses_of(host: str, port: int) -> list[str]:
    """Every address that a host's name stands for now, in the system's order.

    Raises:
        OSError: the name does not resolve.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
