"""`python -m lossmith.cli`, the form that torchrun starts."""

from lossmith.cli.app import main

main()
