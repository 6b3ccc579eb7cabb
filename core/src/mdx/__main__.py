"""``mdx``, and ``python -m mdx``: the command line. Signals are listened to before anything heavy is imported."""

import sys

RESUMABLE = ("run", "resume", "sweep", "reproduce")
"""Commands that leave something to go on with, and end with 75 when they are asked to stop."""


def main() -> None:
    """The console script."""
    resumable = next((word for word in sys.argv[1:] if not word.startswith("-")), "") in RESUMABLE
    try:
        if resumable:
            from mdx.stopping import listen

            listen()
        from mdx.cli.app import run_cli
    except KeyboardInterrupt:
        sys.stderr.write("stopped before a run had begun\n  -> give the same command again\n")
        sys.exit(130)
    except BaseException as error:
        if getattr(error, "exit_code", None) != 75:
            raise
        sys.stderr.write("stopped before a run had begun\n  -> give the same command again\n")
        sys.exit(75)
    code = 75
    try:
        code = run_cli(sys.argv[1:])
    except BaseException as error:  # a signal between the end of the command and here
        if getattr(error, "exit_code", None) != 75:
            raise
    if resumable:
        from mdx.stopping import ignore

        ignore()
    sys.exit(code)


if __name__ == "__main__":
    main()
