"""`python -m chaoslib_ext.cli` is `chaosx`."""

from chaoslib_ext.cli import main

main()
