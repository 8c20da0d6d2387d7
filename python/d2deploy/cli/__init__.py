"""The command `d2deploy`, with a file per subcommand, and `caffe2_converter`, which is `d2deploy convert`.

No module here imports at its top what only one subcommand needs: --help needs the standard library alone, and each
subcommand the packages of its own extra.
"""

from d2deploy.cli.command import main

__all__ = ["main"]
