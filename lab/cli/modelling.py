"""`lab simulate`, `lab replay`, `lab calibrate`, `lab validate`: the commands of the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.base import JSON, app, progress, say, settle, size_of
from lab.errors import AnswerIsNo, InputError

if TYPE_CHECKING:
    from lab.calibration.judge import Validation
    from lab.model.parameters import Parameters


@app.command(epilog="Examples: `lab simulate scenarios/quickstart.yaml`; "
                    "`lab simulate scenarios/quickstart.yaml --params my-params.json --only direct-lvm.layer.files`")
def simulate(
    scenario: Annotated[Path, typer.Argument(help="A scenario file, as `lab run` takes it.", metavar="SCENARIO")],
    params: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Parameters of `lab calibrate`.  By default those that came with the lab: for a machine "
                             "with `accelerator: uml` of user-mode Linux, else of an emulated one.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this cell (may be given more than once).")] = None,
    repetitions: Annotated[int | None, typer.Option(min=1, help="Instead of the scenario's.")] = None,
    results: Annotated[Path, typer.Option(help="Where the run's folder is made.")] = Path("results"),
) -> None:
    """Do a scenario in the model instead of a machine.  Prints the run's folder last.

    The folder is like that of a measured run; its rows have ``source = simulated``.  Exit code 0: done; 1: a cell
    failed, as where the pool is full; 2: the model cannot express the scenario.
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
    show = progress()
    manifest = run_model(asked, folder, parameters, repetitions=asked.repetitions, only=only or (),
                         progress=lambda done, total, cell: show(done, total, cell, None))
    print(folder)
    settle(manifest, folder, "")


@app.command(epilog="Examples: `lab replay tests/ground_truth/snap-64k`; "
                    "`lab replay my-trace.log.gz --chunk-size 64KiB,512KiB --pool-size 100GiB`")
def replay(
    case: Annotated[Path, typer.Argument(
        metavar="CASE|TRACE", help="A case's folder, a fio I/O log, or blkparse text.")],
    as_json: JSON = False,
    thin_dump: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Write the final mappings of a case as XML for thin_restore.")] = None,
    chunk_size: Annotated[str, typer.Option(
        metavar="SIZES", help="Block sizes to try on a trace, separated by commas.")] = "64KiB,128KiB,512KiB",
    pool_size: Annotated[str, typer.Option(metavar="SIZE", help="Size of the pool for a trace.")] = "100GiB",
) -> None:
    """Replay a recorded case and compare with the kernel, or try block sizes on a trace of your own.

    Exit code 0: data blocks agree at every step; 1: they do not; 2: bad input.
    """
    from lab.report.replay_tables import format_replay, format_trace
    from lab.simulate.replay import replay_case, save_pool_dump
    from lab.simulate.replay.block_sizes import compare_chunk_sizes, load_trace

    if case.is_dir() or not case.exists():
        result = replay_case(case)
        if thin_dump is not None:
            save_pool_dump(result.pool, thin_dump)
        print(json.dumps(result.document(), indent=1) if as_json else format_replay(result))
        if not result.data_blocks_agree:
            raise AnswerIsNo(f"{result.case}: the model and the kernel disagree")
        return
    if thin_dump is not None:
        raise InputError("--thin-dump is for a case: a trace is tried on several pools", where=str(case))
    sizes = [size_of(text, "--chunk-size") for text in chunk_size.split(",")]
    compared = compare_chunk_sizes(load_trace(case), sizes, size_of(pool_size, "--pool-size"))
    print(json.dumps(compared.document(), indent=1) if as_json else format_trace(compared))


@app.command(epilog="Example: `lab calibrate results/reference -o params.json`")
def calibrate(
    runs: Annotated[list[Path], typer.Argument(help="Measured runs, or folders above some.", metavar="RUN...")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PARAMS", help="Where the parameters go.")],
    screening: Annotated[bool, typer.Option("--screen", help="Say what each parameter does to growth, too.")] = False,
    as_json: JSON = False,
) -> None:
    """Fit the model to measured runs.  Prints the parameters with their intervals, and what the runs leave open."""
    from lab.calibration.fit import run_calibration
    from lab.runs.store import find_runs
    from lab.simulate.parameters import write_parameters

    parameters = run_calibration([run for path in runs for run in find_runs(path)], say,
                                 screening=screening)
    write_parameters(parameters, output)
    if as_json:
        print(parameters.model_dump_json(indent=1))
    else:
        _print_parameters(parameters)


def _print_parameters(parameters: Parameters) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("parameter", "value", "90 % interval", "n", "identified", "why")
    for one in parameters.fitted:
        interval = "" if one.low is None or one.high is None else f"{one.low:.4g} to {one.high:.4g}"
        table.add_row(one.name, f"{one.value:.4g}", interval, str(one.n), "yes" if one.identified else "NO", one.reason)
    Console().print(table)
    if parameters.effects:
        effects = Table("parameter", "effect on the space taken, MiB", "its spread, MiB",
                        title="Morris screening: over each parameter's whole range")
        for effect in parameters.effects:
            effects.add_row(effect.name, *(f"{bytes_ / 2**20:.3g}" for bytes_ in (effect.mean_absolute_bytes,
                                                                                  effect.spread_bytes)))
        Console().print(effects)


@app.command(epilog="Example: `lab validate params.json results/validation`")
def validate(
    params: Annotated[Path, typer.Argument(help="Parameters of `lab calibrate`.", metavar="PARAMS")],
    runs: Annotated[list[Path], typer.Argument(help="Measured runs that the fit has not seen.", metavar="RUN...")],
    as_json: JSON = False,
) -> None:
    """Judge the model on runs that it has not seen: simulate their scenarios and compare growth phase by phase."""
    from lab.calibration.judge import run_validation
    from lab.runs.store import find_runs
    from lab.simulate.parameters import read_parameters

    found = run_validation(read_parameters(params), [run for path in runs for run in find_runs(path)], say)
    if as_json:
        print(json.dumps(found.document(), indent=1))
    else:
        _print_validation(found)


def _print_validation(found: Validation) -> None:
    from rich.console import Console
    from rich.table import Table

    from lab.calibration.ratios import rate_score

    table = Table("run", "phases", "equal to the byte", "increments, MAPE", "straight line", "in use, MAPE",
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
