"""The reference page on space: what work takes, what comes back, and what of that the documentation has otherwise."""

from __future__ import annotations

from written_page import Section

from lab.analysis.comparisons import GROWTH_FLOOR_BYTES
from lab.analysis.facts import (
    ALL_PHASES,
    KEPT_PHASES,
    Facts,
    amounts_told,
    median_note,
    mib_text,
)
from lab.metrics import growth_of
from lab.report.markdown import code, paragraph, table
from lab.scenario.phases import phase_kind
from lab.scenario.steps import FREEING
from lab.text import joined, mib, number

FEW = 3
"""Up to so many different amounts are told one by one; of more, the span."""

COPIED = 2.0
"""Where ext4 wrote less than this many times what the application did, no copy-up can be told from it."""

SHARED_BLOCKS = 0.9
"""A growth of at least this share of another's is called nearly as much."""


def taken_section(facts: Facts) -> Section:
    """What each phase of the container steps took, in the layer and in a volume."""
    blocks = ["In the container's layer, growth of the storage (data blocks of the pool, or the file system's space), "
              "MiB:", growth_table(facts, "layer", "storage_growth"),
              paragraph([_note(facts, "layer", "storage_growth"), _kept(facts), _dearest(facts)])]
    if facts.phases("volume"):
        blocks += ["In a volume, growth of the volumes' own file system, MiB:",
                   growth_table(facts, "volume", "volume_growth"), _note(facts, "volume", "volume_growth"),
                   "Of the same work in a volume, growth of the storage that holds the layers, MiB:",
                   growth_table(facts, "volume", "storage_growth"),
                   paragraph([_note(facts, "volume", "storage_growth"), _bookkeeping(facts)])]
    return Section("What each storage takes for the same work", blocks)


def growth_table(facts: Facts, target: str, metric: str) -> str:
    """A row a phase and one for the sum; a column for what the application wrote and one a storage; MiB."""
    rows = []
    for phase in [*facts.phases(target), KEPT_PHASES, ALL_PHASES]:
        written = next((row for label in facts.labels
                        if (row := facts.summary_row(label, target, phase, "application_bytes")) is not None), None)
        rows.append([phase, "0" if written is None else mib_text(written),
                     *(mib_text(facts.summary_row(label, target, phase, metric)) for label in facts.labels)])
    return table(["phase", "application wrote", *facts.labels], rows)


def _note(facts: Facts, target: str, metric: str) -> str:
    return median_note([facts.summary_row(label, target, ALL_PHASES, metric) for label in facts.labels])


def _dearest(facts: Facts) -> str:
    """The phase that took most for each byte written, among those that wrote a block's worth."""
    costs = []
    for phase in facts.phases("layer"):
        for label in facts.labels:
            took = facts.median(label, "layer", phase, "storage_growth")
            wrote = facts.median(label, "layer", phase, "application_bytes")
            if took is not None and wrote and wrote >= (facts.chunk_bytes(label) or 0):
                costs.append((took / wrote, phase, wrote))
    if not costs:
        return ""
    _, phase, wrote = max(costs)
    said = [(label, f"{mib(took)} ({number(took / wrote)} ×)") for label in facts.labels
            if (took := facts.median(label, "layer", phase, "storage_growth")) is not None]
    return f"{code(phase)} took most for each byte written: for {mib(wrote)}, {amounts_told(said)}."


def _kept(facts: Facts) -> str:
    """What all work up to the first delete took in the layer."""
    wrote = next((one for label in facts.labels
                  if (one := facts.median(label, "layer", KEPT_PHASES, "application_bytes"))), None)
    took = {label: (float(row["median"]), mib_text(row)) for label in facts.labels
            if (row := facts.summary_row(label, "layer", KEPT_PHASES, "storage_growth")) is not None}
    if not wrote or not took:
        return ""
    least, most = min(took.values()), max(took.values())
    ends = " and ".join(f"{text} MiB on {joined([label for label, one in took.items() if one[1] == text])}"
                        for _, text in dict.fromkeys((least, most)))
    return (f"Up to the first delete, for {mib(wrote)} that the application wrote, the layer took "
            f"{'between ' if least != most else ''}{ends}; storages whose intervals overlap are not told apart.")


def _bookkeeping(facts: Facts) -> str:
    """What work in a volume costs in the pool, before anything is removed."""
    totals = {label: sum(growth for phase in facts.phases("volume") if phase_kind(phase) not in ("trim", "remove")
                         and (growth := facts.median(label, "volume", phase, "storage_growth")) is not None)
              for label in facts.labels}
    dear = [(label, mib(total)) for label, total in totals.items() if total >= GROWTH_FLOOR_BYTES]
    if not dear:
        return "Up to the trim, work in a volume took nothing of the layers' storage."
    return ("Up to the trim, though all of the work was done in the volume, the layers' storage grew too: by "
            f"{amounts_told(dear)}.")


# -- what comes back ---------------------------------------------------------------------------------------------


def returned_section(facts: Facts) -> Section:
    """What delete, trim and remove gave back, in the layer and in a volume."""
    blocks = []
    for target in ("layer", "volume"):
        if not facts.phases(target):
            continue
        where = "In the layer, given back by the storage" if target == "layer" else \
            "In a volume, given back by the volumes' own file system"
        metric = growth_of(target)
        blocks += [f"{where}, MiB (below zero: taken):", returned_table(facts, target),
                   paragraph([_note(facts, target, metric), *returned_sentences(facts, target)])]
    return Section("What comes back", blocks)


def returned_table(facts: Facts, target: str) -> str:
    """A row a storage, a column each phase that frees, and what is still held at the end; MiB."""
    phases = [phase for phase in facts.phases(target) if phase_kind(phase) in FREEING]
    metric = growth_of(target)
    rows = [[label, *(mib_text(facts.summary_row(label, target, phase, metric), sign=-1) for phase in phases),
             mib_text(facts.summary_row(label, target, ALL_PHASES, metric))] for label in facts.labels]
    return table(["storage", *(f"at {phase}" for phase in phases), "still held after all"], rows)


def given_back(facts: Facts, label: str, target: str, kind: str) -> float | None:
    """Bytes that all phases of that kind gave back; those that took some count as nothing.  None: not measured."""
    growths = [growth for phase in facts.phases(target) if phase_kind(phase) == kind
               and (growth := facts.median(label, target, phase, growth_of(target))) is not None]
    return sum(-growth for growth in growths if growth <= -GROWTH_FLOOR_BYTES) if growths else None


def returned_sentences(facts: Facts, target: str) -> list[str]:
    told = []
    for kind in FREEING:
        back = {label: amount for label in facts.labels
                if (amount := given_back(facts, label, target, kind)) is not None}
        if back:
            told.append(_kind_sentence(kind, back))
    return told


def _kind_sentence(kind: str, back: dict[str, float]) -> str:
    nothing = [label for label, amount in back.items() if not amount]
    some = {label: amount for label, amount in back.items() if amount}
    what = "A " + {"delete": "delete", "trim": "trim", "remove": "`docker rm`"}[kind]
    if not some:
        return f"{what} freed nothing on any storage."
    text = f"{what} freed {_some_amounts(some, everywhere=not nothing)}"
    return text + (f", and nothing on {joined(nothing)}." if nothing else ".")


def _some_amounts(some: dict[str, float], *, everywhere: bool) -> str:
    """Every amount where they are few, else their span."""
    amounts = {mib(amount) for amount in some.values()}
    places = "every storage" if everywhere and len(some) > 1 else joined(list(some))
    if len(amounts) == 1:
        return f"{amounts.pop()} on {places}"
    if len(amounts) <= FEW:
        return amounts_told([(label, mib(amount)) for label, amount in some.items()])
    return f"{mib(min(some.values()))} to {mib(max(some.values()))} on {places}"


# -- against the documentation -----------------------------------------------------------------------------------


def delete_block(facts: Facts) -> list[str]:
    """Whether a delete frees anything on direct-lvm, which Docker's documentation says."""
    direct = [label for label in facts.labels if facts.storages[label].storage.startswith("direct-lvm")]
    back = {label: amount for label in direct
            if (amount := given_back(facts, label, "layer", "delete")) is not None}
    plain = {label: amount for label, amount in back.items() if not facts.discards(label)}
    mounted = {label: amount for label, amount in back.items() if facts.discards(label)}
    if not plain:
        return ["**Delete on direct-lvm.** No direct-lvm storage without a discard mount was measured."]
    nothing = [label for label, amount in plain.items() if not amount]
    some = [(label, mib(amount)) for label, amount in plain.items() if amount]
    told = ["**Delete on direct-lvm.** Docker's documentation says that direct-lvm gives space back when files are "
            "deleted, and loop-lvm does not."]
    if nothing:
        told.append(f"Here a delete in the layer freed nothing on {joined(nothing)}"
                    + (f", though it freed {amounts_told(some)}." if some else "."))
    else:
        told.append(f"So it was: a delete in the layer freed {amounts_told(some)}.")
    if mounted:
        freed = [(label, mib(amount)) for label, amount in mounted.items() if amount]
        told.append(f"With the container's file system mounted with `discard` it freed {amounts_told(freed)}."
                    if freed else f"A discard mount changed nothing: nothing was freed on {joined(list(mounted))}.")
    return [paragraph(told)]


def copy_up_block(facts: Facts, xfs: str = "overlay2-xfs", ext4: str = "overlay2-ext4") -> list[str]:
    """How overlay2 copies up a file of the image on XFS, against ext4: what it takes and what reaches the disk."""
    title = "**overlay2's copy-up on XFS.**"
    rows, values = [], {}
    for label in (xfs, ext4):
        found = [facts.summary_row(label, "layer", "update", metric)
                 for metric in ("application_bytes", "storage_growth", "disk_written")]
        if any(row is None for row in found):
            return [f"{title} `update` was not measured on {label}."]
        values[label] = [float(row["median"]) for row in found if row is not None]
        rows.append([label, *map(mib_text, found)])
    (wrote, grew, reached), (_, grew_ext4, reached_ext4) = values[xfs], values[ext4]
    if grew_ext4 <= 0:
        return [f"{title} `update` took nothing on {ext4}, so that there is nothing to compare."]
    told = ["overlay2 copies a file of the image into the layer before its first change; on XFS it can share the "
            "file's blocks (reflink) instead."]
    shared = reached < wrote + (reached_ext4 - wrote) / 2
    if reached_ext4 < COPIED * wrote:
        told.append("Too little was copied on ext4 to tell whether it did here.")
    elif shared and grew < SHARED_BLOCKS * grew_ext4:
        told.append(f"Here it did: `update` took {number(grew / grew_ext4)} × the space that it took on ext4.")
    elif shared:
        told.append(f"Here it did, for {mib(reached)} reached the disk on XFS and "
                    f"{mib(reached_ext4)} on ext4; yet it took {number(grew / grew_ext4)} × the "
                    "space, because XFS reserves a larger extent around each block that it has to copy.")
    else:
        told.append("Here it did not: as much reached the disk as on ext4, where the whole file is copied.")
    return [paragraph([title, *told]),
            table(["`update` in the layer, MiB", "application wrote", "space taken", "written to the disk"], rows)]
