"""Checks of the lessons' exercises.  Each takes what the notebook has at hand and an answer, and grades it.

``None`` is no answer yet.  What is no answer of the kind that is asked for is not right; a wrong answer is told what
to look at, and never the answer itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd

from lab.analysis import stats
from lab.answers.gate.gate import Gate
from lab.answers.gate.permutation import pairs_needed
from lab.answers.gate.rows import Status
from lab.answers.plan.sizing import replications_to_count
from lab.lessons import copy_cost, dumps, gating, layers, loop_or_direct, planning
from lab.lessons.metadata_growth import Filling
from lab.lessons.programs import Step, run_program, small_pool
from lab.model.metadata.metadata import kernel_rule_bytes
from lab.readers.thin_dump import ThinDump
from lab.text import MIB, number

NO_ANSWER = "No answer yet."
_SHOWN = 40


def graded_number(answer: object, right: float, hint: str, *, unit: str = "", absolute: float = 0.0,
                  relative: float = 0.0) -> str:
    """Right within the larger of ``absolute`` and ``relative`` times what is right."""
    if answer is None:
        return NO_ANSWER
    given = _as_float(answer)
    if not math.isfinite(given):
        return f"Not yet: {_shown(answer)} is not a number. {hint}"
    if abs(given - right) <= max(absolute, relative * abs(right)):
        return f"Right: it is {_plain(right)}{' ' * bool(unit)}{unit}."
    return f"Not yet. {hint}"


def graded_truth(answer: object, right: bool, why: str, hint: str) -> str:
    """``why`` is told with the right answer only."""
    if answer is None:
        return NO_ANSWER
    if not isinstance(answer, bool | np.bool_):
        return f"Not yet: {_shown(answer)} is neither True nor False. {hint}"
    return f"Right: {why}." if bool(answer) == right else f"Not yet. {hint}"


def graded_word(answer: object, right: str, allowed: Sequence[str], hint: str) -> str:
    """One of the allowed words, however it is capitalised."""
    if answer is None:
        return NO_ANSWER
    if not isinstance(answer, str) or answer.strip().lower() not in [word.lower() for word in allowed]:
        return f"Not yet: {_shown(answer)} is none of {', '.join(allowed)}. {hint}"
    return f"Right: {right}." if answer.strip().lower() == right.lower() else f"Not yet. {hint}"


def _may_say_below_one(found: stats.Estimate) -> tuple[bool, str]:
    """Whether a ratio's whole interval lies below 1, and why."""
    if found.settled and found.centre < 1:
        return True, "the whole interval lies below 1"
    return False, (f"there is no interval with n = {found.n} < {stats.MIN_N}" if found.low is None else
                   "the interval does not lie below 1")


def _as_float(answer: object) -> float:
    """The number, of a table's cell or column of one too; NaN for what is none, or none that a float can hold."""
    if getattr(answer, "size", None) == 1 and callable(item := getattr(answer, "item", None)):
        answer = item()
    if isinstance(answer, bool) or not isinstance(answer, Real | Decimal):
        return math.nan
    try:
        return float(answer)
    except (OverflowError, ValueError):         # a signalling NaN is one
        return math.nan


def _shown(answer: object) -> str:
    try:
        text = " ".join(repr(answer).split())
    except ValueError:              # a whole number of thousands of digits
        text = f"this {type(answer).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e9 else number(value)


# -- 1: layers -------------------------------------------------------------------------------------------------


def start_of_one(rows: pd.DataFrame, answer: object, *, run: str, storage: str) -> str:
    """How many MiB did the start of one container take?  ``rows``: as ``layers.started`` gives them."""
    found = layers.each_bytes(rows, run, storage)
    if found is None:
        return f"The table has no start on {storage} in the run {run}."
    return graded_number(answer, found / MIB, "The row tells what all its containers took together, and how many they "
                         "were.", unit="MiB", absolute=0.05, relative=0.02)


def counted_twice(dump: ThinDump, answer: object) -> str:
    """How many times the space in use does one get who adds up what every device maps?"""
    used = dumps.used_blocks(dump)
    if not used:
        return "This pool is empty."
    return graded_number(answer, dumps.mapped_blocks(dump) / used, "Add up the column of what the devices map, and "
                         "divide by what the pool has in use: both counts are in the caption of its map.",
                         absolute=0.02, relative=0.02)


def containers_like_image(grown: layers.Grown, answer: object) -> str:
    """How many containers take as much as the image itself, in the model?  Rounded either way."""
    if not grown.mean_bytes:
        return f"On {grown.storage} a container takes nothing in the model."
    return graded_number(answer, grown.image_bytes / grown.mean_bytes, "Divide what the image took by what one "
                         "container took on average.", unit="containers", absolute=1.0)


# -- 2: a pool block by block ----------------------------------------------------------------------------------


def used_after(program: Sequence[Step], answer: object) -> str:
    """How many data blocks are in use after the program?  Raises InputError for a step that is none."""
    pool = run_program(program)
    return graded_number(answer, pool.used_data_blocks, "Draw it: capture the pool after each step. Look out for a "
                         "data block that nobody maps any more.", unit="data blocks")


def freed_by_delete(program: Sequence[Step], device: int, answer: object) -> str:
    """How many data blocks would become free if the device were deleted after the program?"""
    pool = run_program(program)
    before = pool.used_data_blocks
    pool.delete_thin(device)
    return graded_number(answer, before - pool.used_data_blocks, "Only what no other device maps becomes free. Count "
                         "the blocks of the pool in that device's colour alone.", unit="data blocks")


def unmapped_by(offset_bytes: int, length_bytes: int, answer: object) -> str:
    """How many data blocks does a discard of that range unmap, of a device that is mapped throughout?"""
    pool = run_program([("create", 0), ("write", 0, range(8))], small_pool())
    before = pool.thin(0).mapped_blocks
    pool.discard(0, offset_bytes, length_bytes)
    return graded_number(answer, before - pool.thin(0).mapped_blocks, "A discard rounds inwards: only data blocks that "
                         "lie in the range with all their bytes are unmapped.", unit="data blocks")


# -- 3: loop or direct -----------------------------------------------------------------------------------------


def both_from_parts(rows: pd.DataFrame, answer: object, *, job: str) -> str:
    """What is the ratio loop-lvm ÷ direct-lvm, by the other two?  ``rows``: as ``loop_or_direct.ratios`` has them."""
    parts = [loop_or_direct.ratio_of(rows, job, question.asks) for question in (loop_or_direct.LOOP,
                                                                                loop_or_direct.BLOCK)]
    found = [part.centre for part in parts if part is not None]
    if len(found) < len(parts):
        return f"The table has no two ratios of {job}."
    return graded_number(answer, math.prod(found), "Factors multiply: loop ÷ direct with large blocks is loop ÷ "
                         "direct with small ones, times small ÷ large.", unit="×", relative=0.01)


def may_call_slower(rows: pd.DataFrame, answer: object, *, job: str, asks: str) -> str:
    """May one say, of this job, that the numerator of that question is slower?"""
    found = loop_or_direct.ratio_of(rows, job, asks)
    if found is None:
        return f"The table has no ratio of {job}."
    return graded_truth(answer, *_may_say_below_one(found), "It takes an interval, and the interval has to keep clear "
                        "of 1 on the slower side. How many repetitions are there?")


def differs_by_a_block(table: pd.DataFrame, answer: object, *, phase: str) -> str:
    """By how many data blocks do the two pools differ in a phase?  ``table``: as ``loop_or_direct.space`` gives it."""
    if phase not in table.index:
        return f"The table has no phase {phase}."
    return graded_number(answer, float(table.loc[[phase], "difference_blocks"].iloc[0]), "Read the column of the "
                         "difference, with its sign, not those of the growth.", unit="data blocks", absolute=0.05)


# -- 4: copy-up against copies of blocks -----------------------------------------------------------------------


def copies_after(writes: int, blocks: int, answer: object) -> str:
    """How many of ``blocks`` data blocks does the closed form expect to be copied after so many random writes?"""
    return graded_number(answer, copy_cost.thornber(writes, blocks), "Each write misses a certain block with chance "
                         "a = (d - 1)/d; after n writes it is untouched with chance aⁿ.", unit="blocks", absolute=0.5,
                         relative=0.01)


def writes_until(share: float, blocks: int, answer: object) -> str:
    """After how many random writes has the closed form copied that share of the blocks?"""
    return graded_number(answer, copy_cost.writes_for(share, blocks), "Set 1 - aⁿ to the share and solve for n: take "
                         "logarithms.", unit="writes", absolute=1.0, relative=0.01)


def disk_for_each_byte(rows: pd.DataFrame, answer: object, *, storage: str) -> str:
    """How many bytes reached the disk for each byte written?  ``rows``: as ``copy_cost.updated`` gives them."""
    if storage not in rows.index:
        return f"The table has no update on {storage}."
    row = rows.loc[[storage]].iloc[0]
    right = float(row["disk_bytes"]) / float(row["application_bytes"]) if row["application_bytes"] else math.nan
    if not math.isfinite(right):
        return f"The run does not tell what reached the disk on {storage}."
    return graded_number(answer, right, "Divide what reached the disk by what the application wrote.", unit="×",
                         absolute=0.05, relative=0.02)


# -- 6: layer or volume ----------------------------------------------------------------------------------------


def saved_in_pool(rows: pd.DataFrame, answer: object, *, storage: str) -> str:
    """By how many MiB less did the layers' storage grow with the work in a volume?  ``rows``: ``volume_cost.kept``."""
    if storage not in rows.index:
        return f"The table has no work on {storage}."
    row = rows.loc[[storage]].iloc[0]
    right = (float(row["layer_bytes"]) - float(row["below_bytes"])) / MIB
    if not math.isfinite(right):
        return f"The run has not both on {storage}."
    return graded_number(answer, right, "Compare the first bar with the last one: both are the layers' storage.",
                         unit="MiB", absolute=0.1, relative=0.02)


def largest_cause(table: pd.DataFrame, answer: object, *, storage: str) -> str:
    """Which cause costs the pool most in the model?  ``table``: as ``volume_cost.causes_table`` gives it."""
    if storage not in table.index:
        return f"The table has no storage {storage}."
    own = table.loc[[storage]].iloc[0]
    names = [str(name).removesuffix(", MiB") for name in table.columns if str(name).endswith(", MiB")]
    right = max(names, key=lambda name: float(own[f"{name}, MiB"]))
    return graded_word(answer, right, names, "Look for the longest part of the bar.")


def may_name_volume_faster(found: Sequence[tuple[str, str, stats.Estimate]], answer: object, *, job: str,
                           storage: str) -> str:
    """May one say, of this job on this storage, that the volume is faster?  ``found``: as ``volume_cost.speeds``."""
    own = next((one for name, label, one in found if (name, label) == (job, storage)), None)
    if own is None:
        return f"The run has no ratio of {job} on {storage}."
    return graded_truth(answer, *_may_say_below_one(own), "The ratio is layer ÷ volume: look at where its interval "
                        "lies, if it has one.")


# -- 8: capacity planning --------------------------------------------------------------------------------------


def size_at_risk(found: planning.Answer, answer: object) -> str:
    """From how many GiB of data on is the accepted risk kept, to be on the safe side?"""
    return graded_number(answer, found.data.high / planning.GIB, "Read the row of the data at the accepted risk. The "
                         "estimate itself is too small as often as too large: take the end of its interval that is "
                         "not.", unit="GiB", absolute=0.06, relative=0.003)


def strongest_lever(table: pd.DataFrame, answer: object) -> str:
    """Which change lowers the data's peak most, on average?  ``table``: as ``planning.by_lever`` gives it."""
    names = [str(name) for name in table.index[1:]]
    if not names:
        return "The table has no change."
    right = min(names, key=lambda name: float(table.loc[[name], "difference_bytes"].iloc[0]))
    return graded_word(answer, right, names, "Compare the means in the column of the data's peak: below zero is less.")


def replications_wanted(risk: float, answer: object) -> str:
    """How many replications count the size at that risk (0 to 1), instead of carrying it on by a law?"""
    return graded_number(answer, replications_to_count(risk), "All of n peaks lie below the size wanted with chance "
                         "(1 - risk)ⁿ: that should not be more than 1 in 20.", unit="replications")


# -- 9: metadata -----------------------------------------------------------------------------------------------


def kernel_rule(data_bytes: int, chunk_bytes: int, answer: object) -> str:
    """How many MiB of metadata does the kernel's rule ask for?"""
    return graded_number(answer, kernel_rule_bytes(data_bytes, chunk_bytes) / MIB, "48 bytes for each data block, at "
                         "least 2 MiB, at most the 15.9 GiB that the kernel can use.", unit="MiB",
                         absolute=0.01, relative=0.01)


def containers_held(found: Filling, answer: object) -> str:
    """How many containers did all of their writes before the pool was full?"""
    return graded_number(answer, found.held, "The last row is of the container that failed: count those before it.",
                         unit="containers")


def data_left(found: Filling, answer: object) -> str:
    """How many per cent of the data were still free when the pool took no more?"""
    return graded_number(answer, 100 * (1 - float(found.rows["data"].iloc[-1])), "Read the data's share in the last "
                         "row.", unit="%", absolute=0.5)


# -- 10: guarding against regressions --------------------------------------------------------------------------


def pairs_at_least(tests: int, level: float, answer: object) -> str:
    """How many pairs does the gate need for a p-value that is small enough for the first of so many timings?"""
    return graded_number(answer, pairs_needed(level / tests), "n pairs have 2ⁿ flips, so that no p-value is below 2⁻ⁿ. "
                         "Holm's correction multiplies the smallest one by the number of timings.", unit="pairs")


def is_regression(gate: Gate, answer: object, *, phase: str, metric: str) -> str:
    """Does the gate call this timing a regression?"""
    row = gating.row_of(gate, phase, metric)
    if row is None:
        return f"The gate has no {metric} in {phase}."
    return graded_truth(answer, row.status is Status.REGRESSION, row.reason, "A regression is both: its corrected p is "
                        "at most what a look may spend, and its effect at least the minimum effect.")


def smallest_corrected(gate: Gate, answer: object) -> str:
    """What does Holm's correction make of the smallest p-value of the gate?"""
    found = [row.p for row in gate.rows if row.p is not None]
    if not found:
        return "The gate has tested nothing."
    return graded_number(answer, min(1.0, len(found) * min(found)), "The smallest of m p-values is multiplied by m.",
                         absolute=1e-6, relative=0.02)
