"""Networks that this machine already uses."""

from __future__ import annotations

import socket
from ipaddress import IPv4Interface, IPv4Network

import psutil


def load_networks_in_use(mark: str) -> list[IPv4Network]:
    """The IPv4 networks of this machine's interfaces, other clones' bridges among them.

    The bridges of the environment marked `mark` are left out: their addresses are its own, found again
    when allocations.yml was lost.
    """
    return [
        IPv4Interface(f"{address.address}/{address.netmask or '255.255.255.255'}").network
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family == socket.AF_INET and not name.startswith(f"sl{mark}-")
    ]
