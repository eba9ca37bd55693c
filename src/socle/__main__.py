"""`python -m socle`."""

from socle.cli.main import main

main()
