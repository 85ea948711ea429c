"""The command line: the only place that prints or exits.  Each module registers its commands at the application."""

from lab.cli import advise, gate, measuring, modelling, plan, reporting  # noqa: F401
from lab.cli.base import app, main

__all__ = ["app", "main"]
