"""Networks that this machine already uses."""

from __future__ import annotations

import socket
from ipaddress import IPv4Interface, IPv4Network

import psutil


def load_networks_in_use() -> list[IPv4Network]:
    """The IPv4 networks of this machine's interfaces, other clones' bridges among them."""
    return [
        IPv4Interface(f"{address.address}/{address.netmask or '255.255.255.255'}").network
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET
    ]
