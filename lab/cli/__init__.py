"""The command line: the only place that prints or exits.  One module a command, each registered at the application."""

from lab.cli import (  # noqa: F401, I001  `lab --help` shows the commands in this order
    doctor,
    run,
    destroy,
    simulate,
    replay,
    calibrate,
    validate,
    plan,
    forecast,
    collect,
    advise,
    gate,
    report,
    reread,
)
from lab.cli.base import app, main

__all__ = ["app", "main"]
