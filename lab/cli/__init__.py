"""The command line: the only place that prints or exits.  Each module registers its commands at the application."""

from lab.cli import (  # noqa: F401
    advise,
    gate,
    measuring,
    modelling,
    plan,
    reporting,
)
from lab.cli.base import app, main

__all__ = ["app", "main"]
