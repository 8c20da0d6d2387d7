"""`python -m d2deploy`: the command `d2deploy`."""

import sys

from d2deploy.cli import main

if __name__ == "__main__":
    sys.exit(main())
