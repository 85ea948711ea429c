"""`lab advise`: which storage for a workload, and what of it belongs into a volume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lab.cli.base import JSON, app
from lab.errors import AnswerIsNo, Inconclusive

_PLACES = {
    "reads": ("reads", "share"), "writes": ("writes", "share"), "read_size": ("reads", "size"),
    "read_random": ("reads", "random"), "write_size": ("writes", "size"), "write_random": ("writes", "random"),
    "write_sync": ("writes", "sync"), "write_first": ("writes", "first"), "image_rewrites": ("writes", "image"),
    "written": ("space", "written"), "files": ("space", "files"), "rewritten": ("space", "rewritten"),
    "small_files": ("space", "small_files"), "log_lines": ("space", "log_lines"), "deletes": ("space", "deletes"),
    "containers": ("host", "containers"), "layers": ("host", "layers"), "log_driver": ("host", "log_driver"),
    "distribution": ("host", "distribution"), "kernel": ("host", "kernel"), "docker": ("host", "docker"),
    "backing": ("host", "backing"), "ftype": ("host", "ftype"), "block_device": ("host", "block_device"),
    "purpose": ("purpose",),
}
"""Where each option stands in a profile."""

_IO, _SPACE, _HOST = "The work", "Space of one container", "The host"


@app.command(epilog="Examples: `lab advise scenarios/profiles/database.yaml`; `lab advise --writes 0.8 "
                    "--write-sync 0.5 --docker 20.10 --distribution debian`; "
                    "`lab advise scenarios/profiles/ci.yaml --test --json`")
def advise(
    workload: Annotated[Path | None, typer.Argument(
        metavar="[WORKLOAD]", help="A profile; options override it.", show_default=False)] = None,
    as_json: JSON = False,
    runs: Annotated[list[Path] | None, typer.Option(
        metavar="RUN", help="Measured runs, or folders above some (may be given more than once); the committed "
                            "results/reference by default.")] = None,
    params: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Parameters of `lab calibrate`, for the forecast of space.")] = None,
    reads: Annotated[float | None, typer.Option(metavar="SHARE", rich_help_panel=_IO,
                                                help="Reads, of all reads and writes.")] = None,
    writes: Annotated[float | None, typer.Option(metavar="SHARE", rich_help_panel=_IO,
                                                 help="Writes; with reads 1 together.")] = None,
    read_size: Annotated[str | None, typer.Option(metavar="SIZE", rich_help_panel=_IO)] = None,
    read_random: Annotated[float | None, typer.Option(metavar="SHARE", rich_help_panel=_IO,
                                                      help="Of the reads: at random places.")] = None,
    write_size: Annotated[str | None, typer.Option(metavar="SIZE", rich_help_panel=_IO)] = None,
    write_random: Annotated[float | None, typer.Option(metavar="SHARE", rich_help_panel=_IO,
                                                       help="Of the writes that do not wait: random.")] = None,
    write_sync: Annotated[float | None, typer.Option(metavar="SHARE", rich_help_panel=_IO,
                                                     help="Of the writes of data: each waits for the disk.")] = None,
    write_first: Annotated[float | None, typer.Option(metavar="SHARE", rich_help_panel=_IO,
                                                      help="Of the writes that do not wait: to new places.")] = None,
    image_rewrites: Annotated[float | None, typer.Option(
        metavar="SHARE", rich_help_panel=_IO, help="Of the writes: first ones into files of the image.")] = None,
    written: Annotated[str | None, typer.Option(metavar="SIZE", rich_help_panel=_SPACE, help="New files.")] = None,
    files: Annotated[int | None, typer.Option(rich_help_panel=_SPACE, help="How many they are.")] = None,
    rewritten: Annotated[str | None, typer.Option(metavar="SIZE", rich_help_panel=_SPACE,
                                                  help="In a file of the image, at most 32MiB.")] = None,
    small_files: Annotated[int | None, typer.Option(rich_help_panel=_SPACE, help="Files of 4 KiB.")] = None,
    log_lines: Annotated[int | None, typer.Option(rich_help_panel=_SPACE)] = None,
    deletes: Annotated[bool | None, typer.Option("--deletes/--keeps", rich_help_panel=_SPACE,
                                                 help="Whether written files are deleted while it runs.")] = None,
    containers: Annotated[int | None, typer.Option(rich_help_panel=_HOST, help="Of one image, at a time.")] = None,
    layers: Annotated[int | None, typer.Option(rich_help_panel=_HOST, help="Of the image.")] = None,
    log_driver: Annotated[str | None, typer.Option(rich_help_panel=_HOST)] = None,
    distribution: Annotated[str | None, typer.Option(rich_help_panel=_HOST)] = None,
    kernel: Annotated[str | None, typer.Option(metavar="VERSION", rich_help_panel=_HOST)] = None,
    docker: Annotated[str | None, typer.Option(metavar="VERSION", rich_help_panel=_HOST)] = None,
    backing: Annotated[str | None, typer.Option(rich_help_panel=_HOST, help="File system of /var/lib/docker.")] = None,
    ftype: Annotated[bool | None, typer.Option("--ftype/--no-ftype", rich_help_panel=_HOST,
                                               help="Whether that xfs has ftype=1.")] = None,
    block_device: Annotated[bool | None, typer.Option(
        "--block-device/--no-block-device", rich_help_panel=_HOST, help="Whether one is free for a pool.")] = None,
    production: Annotated[bool | None, typer.Option("--production/--test", rich_help_panel=_HOST)] = None,
) -> None:
    """Rank storages for a workload: measured ratios, the model's forecast, the documentation's constraints.

    Exit code 0: there is an order; 1: the documentation excludes every storage; 2: bad input; 4: neither measurement
    nor documentation tells any two apart.
    """
    from lab.advise.advice import advise as form_advice
    from lab.advise.document import document
    from lab.advise.evidence import default_runs
    from lab.advise.profile import read_profile
    from lab.advise.text import format_advice
    from lab.readers.parameters import read_parameters

    purpose = None if production is None else "production" if production else "test"
    given = {"reads": reads, "writes": writes, "read_size": read_size, "read_random": read_random,
             "write_size": write_size, "write_random": write_random, "write_sync": write_sync,
             "write_first": write_first, "image_rewrites": image_rewrites, "written": written, "files": files,
             "rewritten": rewritten, "small_files": small_files, "log_lines": log_lines, "deletes": deletes,
             "containers": containers, "layers": layers, "log_driver": log_driver, "distribution": distribution,
             "kernel": kernel, "docker": docker, "backing": backing, "ftype": ftype, "block_device": block_device,
             "purpose": purpose}
    profile = read_profile(workload, _options(given))
    advice = form_advice(profile, runs or [default_runs()], read_parameters(params))
    print(json.dumps(document(advice), indent=1, allow_nan=False) if as_json else format_advice(advice))
    if not advice.ranking.ranked:
        raise AnswerIsNo("the documentation excludes every storage for this profile",
                         remedy="another Docker version, kernel or file system; the rules that exclude are printed")
    if not advice.ranking.tells_something:
        raise Inconclusive("neither the measurements nor the documentation tell any two storages apart",
                           remedy="measure as printed")


def _options(given: dict[str, Any]) -> dict[tuple[str | int, ...], tuple[str, Any]]:
    """Place in the profile -> the option's name and value, of those that were given."""
    return {_PLACES[name]: ("--" + name.replace("_", "-"), value) for name, value in given.items() if value is not None}
