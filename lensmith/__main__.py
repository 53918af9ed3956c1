"""`python -m lensmith` is the command `lensmith`."""

from lensmith.cli.app import main

main()
