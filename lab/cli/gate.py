"""`lab gate`: did this change make storage slower, or larger?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.base import JSON, app, progress, runs_in, say
from lab.errors import AnswerIsNo, Inconclusive, InputError
from lab.runs.files import write_output

if TYPE_CHECKING:
    from lab.answers.gate.gate import Gate
    from lab.answers.gate.rules import Rules
    from lab.answers.gate.self_test import SelfTest


_PAIRS = 10
"""Of a draw of --prove: those of the gate's first look."""

_WIDTH = 200
"""Columns of a table that no terminal shows, such as a CI log."""


@app.command(epilog="Examples: `lab gate RUN`, where RUN is of `lab run new.yaml --against old.yaml`; "
                    "`lab gate BASELINE RUN`; `lab gate --self-test results/aa -o self-test.json`")
def gate(
    runs: Annotated[list[Path] | None, typer.Argument(
        help="One run with two arms, or the baseline's run and the candidate's.  With --self-test: A/A runs.",
        metavar="[BASELINE] RUN", show_default=False)] = None,
    rules: Annotated[Path | None, typer.Option(
        metavar="FILE", help="A YAML file with alpha, looks, max_repetitions, minimum_effects, tolerances, "
                             "ignore.")] = None,
    accept: Annotated[list[str] | None, typer.Option(
        metavar="PROPERTY", help="Let this property of the environment differ, for example lab.commit (may be given "
                                 "more than once).")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The seed of all random draws.")] = None,
    junit: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Write the verdict as JUnit XML into this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Write the report into this file.  Where $GITHUB_STEP_SUMMARY is set, the report is "
                              "added there too.")] = None,
    self_test: Annotated[bool, typer.Option(
        "--self-test", help="Tell the rate of false alarms and the smallest effect that is found, from A/A runs "
                            "(one scenario as both arms).")] = False,
    prove: Annotated[bool, typer.Option(
        "--prove", help="Tell how often the gate finds a slow-down that was made on purpose: in how many draws of "
                        "--pairs from this run.")] = False,
    pairs: Annotated[int | None, typer.Option(min=2, max=100, help="With --prove: how many pairs are in a draw.",
                                              show_default="10")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="With --self-test or --prove: "
                                                "store the result in this file, as JSON.")] = None,
    repetitions: Annotated[int | None, typer.Option(
        min=2, max=100, help="With --self-test: tell the power for so many repetitions.",
        show_default="those that the runs have")] = None,
    self_test_result: Annotated[Path | None, typer.Option(
        metavar="FILE", help="A result that --self-test -o stored.  From it the report says what the verdict is "
                             "worth.")] = None,
    looks: Annotated[bool, typer.Option(
        "--looks", help="Print how many repetitions there should be each time that the gate is asked, and judge "
                        "nothing.  Of the other options only --rules counts.")] = False,
    as_json: JSON = False,
) -> None:
    """Judge whether a candidate is slower or larger than a baseline.

    Timings are judged by permutation tests, and counts of space by tolerances.

    Exit code 0: no regression; 1: a regression; 2: bad input; 4: inconclusive, and it says what would settle it.
    """
    from lab.answers.gate import gate as judging
    from lab.answers.gate.rules import Rules, load_rules

    judged_by = load_rules(rules) if rules is not None else Rules()
    if looks:
        print(*judged_by.look_schedule())
        return
    if not runs:
        raise InputError("no run is named", where="lab gate", remedy="name one with two arms, as `lab run new.yaml "
                                                                     "--against old.yaml` makes it")
    chosen_seed = judging.SEED if seed is None else seed
    if prove:
        _refuse({"--self-test": self_test, "--accept": accept, "--junit": junit, "--markdown": markdown,
                 "--repetitions": repetitions, "--self-test-result": self_test_result}, "with --prove")
        _prove(runs, judged_by, chosen_seed, pairs or _PAIRS, output, as_json=as_json)
        return
    _refuse({"--pairs": pairs}, "without --prove")
    if self_test:
        _refuse({"--accept": accept, "--junit": junit, "--self-test-result": self_test_result}, "with --self-test")
        _self_test(runs, judged_by, chosen_seed, repetitions, output, markdown, as_json=as_json)
        return
    _refuse({"--output": output}, "without --self-test or --prove")
    _refuse({"--repetitions": repetitions}, "without --self-test")
    _judge(runs, judged_by, accept or [], chosen_seed, junit, markdown, self_test_result, as_json=as_json)


def _judge(paths: list[Path], rules: Rules, accept: list[str], seed: int, junit_file: Path | None,
           markdown_file: Path | None, told_file: Path | None, *, as_json: bool) -> None:
    from lab.answers.gate.gate import open_and_judge
    from lab.answers.gate.junit import junit
    from lab.answers.gate.markdown_report import markdown
    from lab.answers.gate.output import add_step_summary
    from lab.answers.gate.self_test import read_self_test
    from lab.answers.gate.shown import document
    from lab.answers.gate.sides import one_run

    if len(paths) > 2:
        raise InputError(f"{len(paths)} runs are too many", where="lab gate",
                         remedy="name one run with two arms, or a baseline's run and the candidate's")
    told = read_self_test(told_file) if told_file is not None else None
    found = open_and_judge([one_run(path) for path in paths], rules, accept=accept, seed=seed)
    if junit_file is not None:
        write_output(junit_file, junit(found))
    page = markdown(found, told)
    if markdown_file is not None:
        write_output(markdown_file, page)
    add_step_summary(page)
    if as_json:
        print(json.dumps(document(found, told), allow_nan=False))
    else:
        _print(found, told)
    _end(found)


def _end(gate: Gate) -> None:
    """Raises AnswerIsNo where there is a regression, Inconclusive where the question is open."""
    from lab.answers.gate.rows import Status
    from lab.answers.gate.shown import title

    if gate.verdict is Status.REGRESSION:
        worst = gate.having(Status.REGRESSION)[0]
        raise AnswerIsNo(f"{title(gate)}; {worst.quantity}: {worst.reason}")
    if gate.verdict is Status.INCONCLUSIVE:
        barred = [notice.text for notice in gate.notices if notice.inconclusive]
        open_rows = [f"{row.quantity}: {row.reason}" for row in gate.having(Status.INCONCLUSIVE)]
        raise Inconclusive(f"{title(gate)}; {(barred + open_rows)[0]}",
                           remedy="go on with: " + " && ".join(gate.commands) if gate.commands else None)


def _print(gate: Gate, told: SelfTest | None) -> None:
    from lab.answers.gate.rows import Status
    from lab.answers.gate.shown import HEAD, differs, line, self_test_sentences, sorted_rows, title

    shown = [row for row in sorted_rows(gate.rows) if row.status is not Status.NONE]
    if shown:
        _table(HEAD, [line(row) for row in shown])
    print(title(gate))
    for notice in gate.notices:
        print(f"{notice.name}: {notice.text}")
    print(gate.method)
    if told is not None:
        print("\n".join(self_test_sentences(told)))
        if listed := differs(gate, told):
            print("the self-test does not speak of this very comparison: " + "; ".join(listed))
    else:
        print("How often this gate cries wolf, and what it would find, is not told: --self-test-result shows what "
              "`lab gate --self-test` stored.")
    for command in gate.commands:
        print(command)


def _self_test(paths: list[Path], rules: Rules, seed: int, repetitions: int | None, output: Path | None,
               markdown_file: Path | None, *, as_json: bool) -> None:
    from lab.answers.gate.markdown_report import self_test_part
    from lab.answers.gate.self_test import self_test
    from lab.answers.gate.shown import COUNT_HEAD, SELF_TEST_HEAD, count_lines, self_test_lines, self_test_sentences

    with progress() as steps:
        found = self_test(runs_in(paths), rules, seed=seed,
                          repetitions=repetitions, progress=steps("timings"))
    text = found.model_dump_json(indent=2) + "\n"
    if output is not None:
        write_output(output, text)
    if markdown_file is not None:
        write_output(markdown_file, self_test_part(found) + "\n")
    if as_json:
        print(text, end="")
        return
    _table(SELF_TEST_HEAD, self_test_lines(found))
    if lines := count_lines(found):
        _table(COUNT_HEAD, lines)
    print("\n".join(self_test_sentences(found)))
    if output is not None:
        say(f"stored: {output}; show it with lab gate RUN --self-test-result {output}")


def _prove(paths: list[Path], rules: Rules, seed: int, pairs: int, output: Path | None, *, as_json: bool) -> None:
    from lab.answers.gate.proof import prove, sentences
    from lab.answers.gate.sides import one_run

    if len(paths) != 1:
        raise InputError(f"{len(paths)} runs are too many", where="lab gate --prove", remedy="name one, with two arms")
    found = prove(one_run(paths[0]), rules, pairs=pairs, seed=seed)
    text = found.model_dump_json(indent=2) + "\n"
    if output is not None:
        write_output(output, text)
    if as_json:
        print(text, end="")
        return
    from lab.text import metric_words

    head = ("cell", "phase", "quantity", "worse by", "spread of a pair", f"{pairs} pairs find", "found")
    _table(head, [[timing.cell, timing.phase, metric_words(timing.metric), _share(timing.worse, "+"),
                   _share(timing.spread), _share(timing.smallest_effect), f"{timing.found} of {one.found.trials}"]
                  for one in found.storages for timing in one.timings])
    print("\n".join(sentences(found)))


def _share(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{100 * value:{sign}.1f} %"


def _table(head: tuple[str, ...], lines: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*head)
    for cells in lines:
        table.add_row(*cells)
    console = Console(markup=False)
    if not console.is_terminal:
        console = Console(markup=False, width=max(_WIDTH, console.width))
    console.print(table)


def _refuse(options: dict[str, object], when: str) -> None:
    for name, value in options.items():
        if value:
            raise InputError(f"this option has no meaning {when}", where=name, remedy="leave it out")
