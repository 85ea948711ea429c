"""`lab doctor`: what this machine lacks for real runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.base import JSON, app, new_table, say
from lab.errors import RigError

if TYPE_CHECKING:
    from lab.rig.vm.doctor import Check


@app.command(epilog="Example: `lab doctor --install`")
def doctor(
    install: Annotated[bool, typer.Option(
        "--install", help="Install what is missing, by apt-get (with sudo if not root).")] = False,
    as_json: JSON = False,
) -> None:
    """Say what this machine lacks for real runs, and which command installs it.

    Exit code 0: nothing is lacking; 3: something is.
    """
    from lab.rig.vm import doctor as rig_doctor

    checks = rig_doctor.examine()
    packages = rig_doctor.missing_packages(checks)
    if install and packages:
        rig_doctor.install(packages)
        checks = rig_doctor.examine()
        packages = rig_doctor.missing_packages(checks)
    if install and not packages and rig_doctor.kernel_is_missing():
        _fetch_kernel()
        checks = rig_doctor.examine()
    lacking = [check.name for check in checks if check.needed and not check.ok]
    if as_json:
        print(json.dumps({"checks": [vars(check) for check in checks], "packages": packages, "ready": not lacking}))
    else:
        _print_checks(checks)
    if lacking:
        raise RigError(f"this machine lacks {', '.join(lacking)}",
                       remedy="lab doctor --install" if packages else None)


def _fetch_kernel() -> None:
    """Without it VMs are emulated, which is slower and no failure."""
    from lab.rig.vm.accelerator import install_kernel

    say("no KVM here: fetching the kernel of user-mode Linux")
    try:
        install_kernel()
    except RigError as error:
        say(f"{error}; VMs will be emulated")


def _print_checks(checks: list[Check]) -> None:
    from rich.console import Console
    table = new_table("", "check", "found", "Debian package")
    for check in checks:
        mark = "ok" if check.ok else ("MISSING" if check.needed else "note")
        table.add_row(mark, check.name, check.detail, check.package or "")
    Console().print(table)
