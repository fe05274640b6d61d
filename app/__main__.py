"""Start here: `cloche`, `python -m app`, and the only entry of the frozen program."""

import multiprocessing
import sys

from app.secrets import dump_no_core


def main() -> None:
    """Run the command line; the collector's own word is looked at first, so that its process stays small."""
    multiprocessing.freeze_support()
    dump_no_core()
    if sys.argv[1:2] == ["collector"]:
        from app.collectors.__main__ import main as collect

        sys.exit(collect())
    from app.cli import cli

    cli()


if __name__ == "__main__":
    main()
