"""Saves the sites of a host: standard library only, run by /usr/lib/socle/backup."""
