"""`lab simulate`: a scenario through the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab.cli.base import RESULTS, app, progress, settle


@app.command(epilog="Examples: `lab simulate scenarios/quickstart.yaml`; "
                    "`lab simulate scenarios/quickstart.yaml --params my-params.json --only direct-lvm.layer.files`")
def simulate(
    scenario: Annotated[Path, typer.Argument(help="A scenario file, as `lab run` takes it.", metavar="SCENARIO")],
    params: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Parameters that `lab calibrate` wrote.  By default the lab takes its own: those of "
                             "user-mode Linux where the scenario says `accelerator: uml`, else those of an emulated "
                             "machine.")] = None,
    only: Annotated[list[str] | None, typer.Option(
        metavar="CELL", help="Simulate this cell only (may be given more than once).")] = None,
    repetitions: Annotated[int | None, typer.Option(
        min=1, help="How often each cell is simulated.", show_default="as the scenario says")] = None,
    results: RESULTS = Path("results"),
) -> None:
    """Simulate a scenario in the model instead of a machine.  The last line printed is the run's folder.

    The folder has the files of a measured run, and its rows have ``source = simulated``.

    Exit code 0: all cells done; 1: a cell failed, as where the pool is full; 2: the model cannot express the scenario.
    """
    from lab.scenario.order import Arms, plan
    from lab.scenario.scenario import MachineSpec, load_scenario
    from lab.simulate.parameters import read_parameters
    from lab.simulate.runner import ACCELERATOR, check_expressible, new_folder
    from lab.simulate.runner import simulate as run_model

    asked = load_scenario(scenario)
    if repetitions is not None:
        asked = asked.model_copy(update={"repetitions": repetitions})
    plan(Arms(asked), ACCELERATOR, only=only or ())         # bad names are refused before a folder is made
    check_expressible(asked, only or ())
    parameters = read_parameters(params, asked.machine.accelerator if isinstance(asked.machine, MachineSpec) else None)
    folder = new_folder(results, asked)
    with progress() as steps:
        manifest = run_model(asked, folder, parameters, repetitions=asked.repetitions, only=only or (),
                             progress=steps("cells"))
    print(folder)
    settle(manifest, folder, "")
