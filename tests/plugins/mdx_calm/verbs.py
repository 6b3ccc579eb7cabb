"""What ``mdx calm brightness`` does."""

from __future__ import annotations

from pathlib import Path

import typer

from mdx import read_image


def brightness(
    files: list[Path] = typer.Argument(help="Images."), digits: int = typer.Option(1, help="After the point.")
) -> None:
    """Print the mean brightness of each image."""
    for file in files:
        typer.echo(f"{file.name} {read_image(file)[0].mean():.{digits}f}")
