"""The folder under which each fake site has its own."""

from __future__ import annotations

from pyinfra.api.host import Host
from pyinfra.operations import files

from socle.load.workspace import Workspace
from socle.model.plan import Plan


def deploy(_host: Host, _plan: Plan, _workspace: Workspace) -> None:
    """Nothing else is installed: a fake site runs what every Debian has."""
    files.directory(name="Configuration of fake sites", path="/etc/fake", mode="755")
