"""What a page says of a run that nobody measured: its numbers are the model's."""

from __future__ import annotations

from lab.runs.records import Manifest
from lab.text import clean, counted
from lab.units import format_bytes


def parameters_told(m: Manifest) -> str:
    """The model's parameters, by the first digits of their digest."""
    digest = m.versions.get("parameters")
    return f"the parameters of digest {clean(digest)[:12]}" if digest else "parameters of no known digest"


def machine_sentence(m: Manifest) -> str:
    """That there was none, and which the scenario asks for."""
    return (f"No machine ran and nothing was measured: every number comes from the model, with {parameters_told(m)}. "
            f"The model stands for a pool disk of {format_bytes(m.machine.pool_disk_bytes)}, as the scenario asks.")


def run_sentences(m: Manifest) -> list[str]:
    """What was simulated, and what repetitions are here."""
    failed = sum(result.status == "failed" for result in m.results)
    text = f"Nothing was measured: {len(m.results) - failed} of {counted(len(m.results), 'cell run')} were simulated"
    text += f", {failed} failed" if failed else ", none failed"
    text += f"; {counted(m.repetitions, 'repetition')} asked for."
    return [text, "Repetitions of a simulation differ in their seed only, so that their spread is no machine's noise. "
                  "Times are parameters of the model: nothing here says which storage is quick."]


def provenance(m: Manifest) -> list[tuple[str, str]]:
    """The rows that stand for the machine's and the packages' versions."""
    seconds = m.seconds.get("simulation")
    return [("source", "simulated"), ("parameters' digest, SHA-256", m.versions.get("parameters", "unknown")),
            *([] if seconds is None else [("the simulation took", f"{seconds:.1f} s")])]
