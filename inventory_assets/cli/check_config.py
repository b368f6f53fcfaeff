"""`inventory check-config`: whether the configuration file is valid."""

import argparse
from pathlib import Path
from typing import Any


def add_check_config(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check-config",
        help="check the configuration file",
        description="Check the configuration file, and the files that it names, without sending a "
        "request, and print all mistakes. The exit code is 0 if it is valid, and 1 if not.",
    )
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="the file; by default that of INVENTORY_CONFIG, or inventory.toml here",
    )
    parser.set_defaults(run=_check_config)


def _check_config(options: argparse.Namespace) -> int:
    from inventory_assets.config import ConfigError, load_config
    from inventory_assets.wiring.named_files import named_file_mistakes

    config = load_config(options.file)
    mistakes = [each for source in config.sources.values() for each in named_file_mistakes(source)]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    for source in config.sources.values():
        print(f"{source.name}: s3://{source.bucket}/{source.prefix}")
    return 0
