"""`lab collect`: the script that records how full a host's pools are."""

from __future__ import annotations

from lab.cli.base import app


@app.command(epilog="Example: `lab collect > collect.sh`, then on the host, as root: `sh collect.sh -e 600 -o "
                    "thin-pool.log`")
def collect() -> None:
    """Print the shell script that records how full a host's thin pools are, for `lab forecast`.

    The script only reads.  It asks dmsetup, lvs and docker for their state.
    """
    from lab.answers.forecast import collect_script

    print(collect_script(), end="")
