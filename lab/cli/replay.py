"""`lab replay`: a recorded case, or a trace of block writes, through the exact pool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lab.cli.base import JSON, app, size_of
from lab.errors import AnswerIsNo, InputError


@app.command(epilog="Examples: `lab replay tests/ground_truth/snap-64k`; "
                    "`lab replay my-trace.log.gz --chunk-size 64KiB,512KiB --pool-size 100GiB`")
def replay(
    case: Annotated[Path, typer.Argument(
        metavar="CASE|TRACE", help="The folder of a case, a fio I/O log, or the text of blkparse.")],
    as_json: JSON = False,
    thin_dump: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Write the mappings at the end of a case into this file, as XML for "
                             "thin_restore.")] = None,
    chunk_size: Annotated[str, typer.Option(
        metavar="SIZES", help="The data block sizes that are tried on a trace, separated by commas.")
    ] = "64KiB,128KiB,512KiB",
    pool_size: Annotated[str, typer.Option(
        metavar="SIZE", help="The size of the pool on which a trace is tried.")] = "100GiB",
) -> None:
    """Replay a recorded case and compare it with the kernel, or try data block sizes on a trace of your own.

    Exit code 0: the data blocks agree at every step; 1: they do not; 2: bad input.
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
