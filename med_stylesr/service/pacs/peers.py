"""Who may send images: an AE title, a network, or both together."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from med_stylesr.errors import UsageError


@dataclass(frozen=True)
class Peer:
    """An allowed sender.

    Attributes:
        ae_title: calling AE title, or an empty string for any.
        network: addresses it may call from, or None for any.
    """

    ae_title: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None

    def is_met_by(self, ae_title: str, address: str) -> bool:
        """Whether a caller is this peer; both the title and the address must fit where they are given."""
        if self.ae_title and ae_title.strip() != self.ae_title:
            return False
        if self.network is None:
            return True
        found = ipaddress.ip_address(address.split("%")[0])
        # A socket for both families tells of IPv4 callers in IPv6 notation.
        found = getattr(found, "ipv4_mapped", None) or found
        return found in self.network


def parse_peer(text: str) -> Peer:
    """A peer from AET, @network or AET@network, the network as an address or in CIDR notation.

    Raises:
        UsageError: if it is none of these.
    """
    title, at, network = text.partition("@")
    title = title.strip()
    if not text.strip() or len(title) > 16 or (at and not network):
        raise UsageError(f"--peer {text}", "is no sender", "use AET, @10.1.0.0/16 or AET@10.1.2.3")
    try:
        return Peer(title, ipaddress.ip_network(network.strip(), strict=False) if network else None)
    except ValueError as error:
        raise UsageError(f"--peer {text}", str(error), "use AET@10.1.2.3 or AET@10.1.0.0/16") from error


def is_allowed(peers: Sequence[Peer], ae_title: str, address: str) -> bool:
    """Whether a caller is among the peers; no peers at all allow everybody."""
    return not peers or any(peer.is_met_by(ae_title, address) for peer in peers)
