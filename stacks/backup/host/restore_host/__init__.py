"""Brings sites of a host back from the vault: standard library only, run by /usr/lib/socle/restore."""
