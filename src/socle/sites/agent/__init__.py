"""The on-host half of the sites stage: reads the state of all sites at once, or applies changes to them.

Only the standard library, and only itself: it is sent on standard input with its payload at each run, so
nothing of it has to be installed or kept at the right version, and nothing secret is ever in an argument.

Rules it keeps: what is ours is written in the site's index before it is made; what exists without being in
an index is refused, not taken over; one site's failure never stops the others; a kill at any moment leaves
what the next run completes. Volumes are written by their sites, so no path is followed through a symbolic
link.
"""
