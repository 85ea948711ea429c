"""`lab advise`: which storage for a workload, and what of it belongs into a volume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lab.cli.base import JSON, app
from lab.errors import AnswerIsNo, Inconclusive


@app.command(epilog="Examples: `lab advise scenarios/profiles/database.yaml`; "
                    "`lab advise mine.yaml --runs results/reference --runs results/mine --json`")
def advise(
    workload: Annotated[Path, typer.Argument(
        metavar="WORKLOAD", help="A profile of the workload and its host.  Copy one from scenarios/profiles/.")],
    runs: Annotated[list[Path] | None, typer.Option(
        metavar="RUN", help="Measured runs, or folders that hold some (may be given more than once).",
        show_default="results/reference")] = None,
    params: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Parameters that `lab calibrate` wrote, for the forecast of space.",
        show_default="those that came with the lab")] = None,
    as_json: JSON = False,
) -> None:
    """Rank the storages for a workload.

    The ranking rests on measured ratios, on the model's forecast, and on the constraints of the documentation.

    Exit code 0: there is an order, or one storage is left; 1: the documentation excludes every storage; 2: bad input;
    4: neither measurement nor documentation tells any two apart.
    """
    from lab.answers.advise.advice import advise as form_advice
    from lab.answers.advise.document import document
    from lab.answers.advise.evidence import default_runs
    from lab.answers.advise.profile import read_profile
    from lab.answers.advise.text import format_advice
    from lab.simulate.parameters import read_parameters

    advice = form_advice(read_profile(workload), runs or [default_runs()], read_parameters(params))
    print(json.dumps(document(advice), indent=1, allow_nan=False) if as_json else format_advice(advice))
    if not advice.ranking.ranked:
        raise AnswerIsNo("the documentation excludes every storage for this profile",
                         remedy="another Docker version, kernel or file system; the rules that exclude are printed")
    if not advice.ranking.tells_something:
        raise Inconclusive("neither the measurements nor the documentation tell any two storages apart",
                           remedy="measure as printed")
