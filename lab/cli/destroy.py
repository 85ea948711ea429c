"""`lab destroy`: the VMs that a run left behind, removed."""

from __future__ import annotations

import json

from lab.cli.base import JSON, app, say


@app.command(epilog="Examples: `lab destroy`; `lab destroy --json`")
def destroy(as_json: JSON = False) -> None:
    """Remove every VM that a run left behind, with its disks.  The box and all results stay."""
    from lab.rig.vm.vagrant import destroy_all

    removed = destroy_all(say)
    if as_json:
        print(json.dumps({"removed": removed}))
    else:
        print("\n".join(f"removed {name}" for name in removed) or "no machine was there")
