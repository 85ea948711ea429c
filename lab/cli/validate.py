"""`lab validate`: the model, judged on runs that the fit has not seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.base import JSON, app, new_table, progress, runs_in

if TYPE_CHECKING:
    from lab.calibration.judge import Validation


@app.command(epilog="Example: `lab validate params.json results/validation`")
def validate(
    params: Annotated[Path, typer.Argument(help="Parameters that `lab calibrate` wrote.", metavar="PARAMS")],
    runs: Annotated[list[Path], typer.Argument(
        metavar="RUN...", help="Folders of measured runs that the fit has not seen.")],
    as_json: JSON = False,
) -> None:
    """Judge the model on measured runs that its fit has not seen.

    The model simulates their scenarios, and the growth of space is compared phase by phase.
    """
    from lab.calibration.judge import run_validation
    from lab.simulate.parameters import read_parameters

    with progress() as steps:
        found = run_validation(read_parameters(params), runs_in(runs), steps("simulations"))
    if as_json:
        print(json.dumps(found.document(), indent=1))
    else:
        _print_validation(found)


def _print_validation(found: Validation) -> None:
    from rich.console import Console

    from lab.calibration.ratios import rate_score

    table = new_table("run", "phases", "equal to the byte", "increments, MAPE", "straight line", "in use, MAPE",
                      "since the begin", "straight line", "in 90 % intervals", "bandwidth ratios that overlap")
    for name, score, coverage, rates in [
            *((one.run, one.score, one.coverage, rate_score(one.rates)) for one in found.runs),
            ("all", found.score, found.coverage, found.rates)]:
        growth = [str(score.phases), str(score.exact), f"{score.increment_mape:.1%}",
                  f"{score.straight_increment_mape:.0%}", f"{score.level_mape:.2%}", f"{score.occupancy_mape:.2%}",
                  f"{score.straight_occupancy_mape:.0%}",
                  f"{coverage.covered} of {coverage.n} ({coverage.low:.0%} to {coverage.high:.0%})"]
        table.add_row(name, *(growth if score.phases else [""] * len(growth)),
                      f"{rates.overlapping} of {rates.n}" if rates.n else "")
    Console().print(table)
