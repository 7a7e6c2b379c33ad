"""The command line."""

import click

__all__ = ["main"]


@click.group()
def main() -> None:
    """Loyalty on the card itself."""
