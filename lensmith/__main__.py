"""`python -m lensmith` is the command `lensmith`."""

from lensmith.cli import main

main()
