"""`lab calibrate`: the model, fitted to measured runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.base import JSON, RUNS, app, new_table, progress, runs_in, say

if TYPE_CHECKING:
    from lab.model.parameters import Parameters


@app.command(epilog="Example: `lab calibrate results/reference -o params.json`")
def calibrate(
    runs: RUNS,
    output: Annotated[Path, typer.Option(
        "--output", "-o", metavar="PARAMS", help="The file into which the parameters are written.")],
    screening: Annotated[bool, typer.Option(
        "--screen", help="Tell as well how much each parameter changes the space that is taken.")] = False,
    as_json: JSON = False,
) -> None:
    """Fit the model to measured runs.

    The command prints each parameter with its interval, and says what the runs leave open.
    """
    from lab.calibration.fit import run_calibration
    from lab.simulate.parameters import write_parameters

    with progress() as steps:
        parameters = run_calibration(runs_in(runs), say, steps, screening=screening)
    write_parameters(parameters, output)
    if as_json:
        print(parameters.model_dump_json(indent=1))
    else:
        _print_parameters(parameters)


def _print_parameters(parameters: Parameters) -> None:
    from rich.console import Console
    table = new_table("parameter", "value", "90 % interval", "n", "identified", "why")
    for one in parameters.fitted:
        interval = "" if one.low is None or one.high is None else f"{one.low:.4g} to {one.high:.4g}"
        table.add_row(one.name, f"{one.value:.4g}", interval, str(one.n), "yes" if one.identified else "NO", one.reason)
    Console().print(table)
    if parameters.effects:
        effects = new_table("parameter", "effect on the space taken, MiB", "its spread, MiB",
                            title="Morris screening: over each parameter's whole range")
        for effect in parameters.effects:
            effects.add_row(effect.name, *(f"{bytes_ / 2**20:.3g}" for bytes_ in (effect.mean_absolute_bytes,
                                                                                  effect.spread_bytes)))
        Console().print(effects)
