"""``python -m mdx`` is the command line."""

from mdx.cli.app import main

main()
