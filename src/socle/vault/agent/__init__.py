"""What runs on a vault, as root, for one call: it makes repositories, reads them, prunes them.

Only the standard library, and only itself. The key of a repository comes with each call and stays in memory:
it rests nowhere on the vault. restic itself runs as the vault's own user, so that what it writes can be served.
"""
