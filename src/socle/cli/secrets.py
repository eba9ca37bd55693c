"""socle secrets: the keys that can read them."""

from __future__ import annotations

import click

from socle.cli.common import Session, verb
from socle.errors import Exit
from socle.secrets import SecretStore


def register(group: click.Group) -> None:
    """Add the group and its verb."""

    @group.group()
    def secrets() -> None:
        """The keys that can read the secrets."""

    @verb(secrets, "escrow", example="socle secrets escrow > /media/safe/escrow.key", codes=(Exit.REFUSED,))
    def escrow(session: Session) -> Exit:
        """Make an escrow key that can read every secret, and show its private half once.

        Keep it away from this machine: it is written nowhere here. A new one replaces the one before.
        """
        store = SecretStore(session.workspace.secrets)
        with session.locked("secrets escrow"), session.recorded("secrets escrow"):
            store.run_create()
            key = store.run_escrow()
        session.show({"escrow": key}, lambda: key)
        session.talk.say("This is the only time the key is shown. Store it in a safe, not on this machine.")
        return Exit.DONE
