"""The audit: what is promised, read where it must be true, and judged.

    Plan + stacks/*/audit.py -> checks -> questions, one batch per host and round -> answers -> findings

A check is a plain function that asks testinfra's `host`. It runs again and again on the answers known so far,
until it asks nothing new: so it reads as if each question were answered at once, a host is asked in a few round
trips whatever the number of checks, and a unit test gives the answers itself.
"""
