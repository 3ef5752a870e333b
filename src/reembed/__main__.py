"""Run the command line by `python -m reembed`."""

from reembed.cli.main import main

if __name__ == "__main__":
    main()
