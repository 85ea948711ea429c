"""Every reader against 20,000 inputs that were right before something in them was changed.

Changes know the structure: a number of a line becomes another, a value of a JSON tree another kind, an attribute of XML
another's; lines change places, are cut or come twice.  What comes of it is read and makes sense, or is refused by an
InputError of one line, and soon.  An input is made of its seed alone, which a failure names:

    FUZZ_SEED=… FUZZ_INPUTS=200000 pytest tests/readers/test_fuzz_readers.py       # another seed, or more
"""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import random
import re
import signal
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from lab.errors import InputError
from lab.monitoring.framing import posix_cksum
from lab.monitoring.readings import read_observed
from lab.monitoring.times import leading_time
from lab.readers.blktrace import is_blkparse, read_blkparse
from lab.readers.dmsetup import PoolStatus, PoolTable, ThinStatus, parse_status, parse_status_targets, parse_table_line
from lab.readers.docker_info import parse_docker_info
from lab.readers.docker_json import parse_human_size
from lab.readers.fio import LogKind, read_fio_intervals, read_log
from lab.readers.fio_job import parse_fio_jobs
from lab.readers.image_archive import read_image
from lab.readers.iolog import read_iolog
from lab.readers.lvm import parse_lvs, parse_vgs
from lab.readers.proc import parse_diskstats, parse_meminfo
from lab.readers.thin_dump import read_thin_dump
from lab.readers.trace_case import parse_requests
from lab.simulate.parameters import read_parameters
from lab.simulate.replay import replay_case
from lab.simulate.replay.block_sizes import compare_chunk_sizes, load_trace

DATA = Path(__file__).parents[1] / "data"
READERS, FIELD, OBSERVED = DATA / "readers", DATA / "field", DATA / "observed"
SEED = os.environ.get("FUZZ_SEED", "2026")
INPUTS = int(os.environ.get("FUZZ_INPUTS", "20000"))
MOST_SECONDS = 10.0
_MOST_COUNT = 1 << 64

NUMBERS = ("0", "1", "-1", "00", "1e400", "NaN", "inf", "0x10", "4096", "65535", "65536", "4294967296", str(2**63 - 1),
           str(2**63), str(10**20), "9" * 30, "٣", "１", "1.5", "1,5", "1_0", "", "-0", "1e3", "0.00", "150.0")
PIECES = ("\n", "\r\n", "\r", " ", "\t", "\0", "\ud800", "\ufeff", "{", "}", "[", "]", '"', "<", ">", "/", "&", "+",
          ",", ":", "=", "%", "-", "\\", "é", "WARNING: x\n", "CET ", "Mb", "GB", "===", "--- ", "\x85", "\u2028")
VALUES: tuple[Any, ...] = (None, True, False, 0, 1, -1, 2**63, 10**20, 1.5, -0.5, "", "x", "0", "-1", "1e400", "NaN",
                           "12,50", "twi-aotzF-", "twi-a", "100.00", "101", "9" * 40, "65.54 Mb", [], {}, [[]],
                           [1], {"a": 1}, ["x", "y"], [["Pool Name", "x"]], "٣", "a\nb", float("nan"), float("inf"))


# -- changes -------------------------------------------------------------------------------------------------

def text_changed(choose: random.Random, text: str) -> str:
    """One to three changes of lines, fields, numbers or characters."""
    for _ in range(choose.randint(1, 3)):
        text = choose.choice((_number, _number, _field, _line, _character, _cut))(choose, text)
    return text


def _number(choose: random.Random, text: str) -> str:
    found = list(re.finditer(r"[0-9]+(?:\.[0-9]+)?", text))
    if not found:
        return text
    match = choose.choice(found)
    near = int(match[0].split(".")[0][:4000]) + choose.randint(-2, 2)
    put = choose.choice((*NUMBERS, match[0] + "0", match[0][:-1], str(near)))
    return text[:match.start()] + put + text[match.end():]


def _field(choose: random.Random, text: str) -> str:
    lines = text.split("\n")
    place = choose.randrange(len(lines))
    fields = re.split(r"([ ,=:/\"]+)", lines[place])
    one, other = choose.randrange(len(fields)), choose.randrange(len(fields))
    kind = choose.randrange(4)
    if kind == 0:
        del fields[one]
    elif kind == 1:
        fields[one:one] = [fields[other]]
    elif kind == 2:
        fields[one], fields[other] = fields[other], fields[one]
    else:
        fields[one] = choose.choice((*NUMBERS, *PIECES))
    lines[place] = "".join(fields)
    return "\n".join(lines)


def _line(choose: random.Random, text: str) -> str:
    lines = text.split("\n")
    one, other = choose.randrange(len(lines)), choose.randrange(len(lines))
    kind = choose.randrange(4)
    if kind == 0:
        del lines[one]
    elif kind == 1:
        lines[one:one] = [lines[other]]
    elif kind == 2:
        lines[one], lines[other] = lines[other], lines[one]
    else:
        lines[one] = lines[one][:choose.randrange(len(lines[one]) + 1)]
    return "\n".join(lines)


def _character(choose: random.Random, text: str) -> str:
    place = choose.randrange(len(text) + 1)
    return text[:place] + choose.choice((*PIECES, *NUMBERS)) + text[place + choose.randrange(3):]


def _cut(choose: random.Random, text: str) -> str:
    return text[:choose.randrange(len(text) + 1)]


def json_changed(choose: random.Random, text: str) -> str:
    """A value, a key or a list of a JSON tree is changed; sometimes its text."""
    if choose.random() < 0.3:
        return text_changed(choose, text)
    tree = json.loads(text)
    for _ in range(choose.randint(1, 3)):
        places = list(_places(tree))
        if not places:
            break
        inside, key = choose.choice(places)
        kind = choose.randrange(5)
        if kind == 0:
            del inside[key]
        elif kind == 1 and isinstance(inside, dict):
            inside[choose.choice((*NUMBERS, "x"))] = inside.pop(key)
        elif kind == 2 and isinstance(inside[key], int | float | str):
            put = _number(choose, str(inside[key]))
            inside[key] = put if isinstance(inside[key], str) else _as_number(put)
        elif kind == 3:
            inside[key] = deepcopy(choose.choice(places)[0])
        else:
            inside[key] = deepcopy(choose.choice(VALUES))
    return json.dumps(tree)


def _as_number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return text


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def framed(choose: random.Random, text: str) -> str:
    """Changed samples of the lab's own recorder, mostly with a sum that fits."""
    samples = []
    for sample in re.findall(r"=== lab-observed .*?(?=\n=== end)", text, re.DOTALL):
        body = (text_changed(choose, sample) if choose.random() < 0.5 else sample) + "\n"
        raw = body.encode("utf-8", "surrogatepass")
        samples.append(body + (f"=== end {posix_cksum(raw)} {len(raw)}\n" if choose.random() < 0.9 else "=== end\n"))
    return "".join(samples) if choose.random() < 0.9 else text_changed(choose, "".join(samples))


def as_bytes(choose: random.Random, text: str) -> bytes:
    """As people's tools write it: mostly UTF-8, sometimes with a mark, as UTF-16, gzipped, or damaged."""
    raw = text.encode("utf-8", "surrogatepass")
    kind = choose.randrange(20)
    if kind == 0:
        return b"\xef\xbb\xbf" + raw
    if kind == 1:
        return text.encode("utf-16", "surrogatepass")
    if kind in (2, 3):
        raw = gzip.compress(raw, 1)
        return raw if kind == 2 else raw[:choose.randrange(len(raw))]
    if kind == 4:
        return raw.replace(b"\n", b"\r\n")
    if kind == 5 and raw:
        place = choose.randrange(len(raw))
        return raw[:place] + choose.randbytes(3) + raw[place + 1:]
    return raw


# -- what makes sense ------------------------------------------------------------------------------------------

def counts(*values: float | None) -> None:
    assert all(value is None or (math.isfinite(value) and 0 <= value < _MOST_COUNT) for value in values), values


def at_most(used: float | None, total: float | None, slack: float = 1.0) -> None:
    counts(used, total)
    assert used is None or total is None or used <= total * slack, (used, total)


def sane_status(text: str) -> None:
    parse_status_targets(text)
    for status in parse_status(text).values():
        if isinstance(status, PoolStatus) and not status.failed:
            at_most(status.used_data_blocks, status.total_data_blocks)
            at_most(status.used_metadata_blocks, status.total_metadata_blocks)
            at_most((status.total_data_blocks or 0) * 128, status.length_sectors)
        if isinstance(status, ThinStatus):
            at_most(status.mapped_sectors, None if status.highest_sector is None else status.highest_sector + 1)


def sane_table(text: str) -> None:
    for line in text.splitlines():
        table = parse_table_line(line)
        if isinstance(table, PoolTable):
            assert 128 <= table.data_block_sectors <= 1 << 21


def sane_lvm(text: str) -> None:
    for volume in parse_lvs(text):
        counts(volume.size_bytes, volume.metadata_size_bytes, volume.chunk_size_bytes)
        at_most(volume.data_percent, 100)
        at_most(volume.metadata_percent, 100)


def sane_vgs(text: str) -> None:
    for group in parse_vgs(text):
        at_most(group.free_bytes, group.size_bytes)


def sane_docker(text: str) -> None:
    info = parse_docker_info(text)
    if (told := info.devicemapper) is not None:
        at_most(told.data_space_used_bytes, told.data_space_total_bytes, 1.002)
        at_most(told.data_space_available_bytes, told.data_space_total_bytes, 1.002)
        at_most(told.metadata_space_used_bytes, told.metadata_space_total_bytes, 1.002)
        assert 65536 <= told.block_size_bytes <= 1 << 30


def sane_fio(path: Path) -> None:
    for run in read_fio_intervals(path, allow_job_errors=True):
        for job in run.jobs:
            for stats in job.directions.values():
                counts(stats.io_bytes, stats.total_ios, stats.runtime_seconds, stats.bandwidth_bytes_per_second)
                for latency in filter(None, (stats.slat, stats.clat, stats.lat)):
                    counts(latency.min_seconds, latency.max_seconds, *latency.percentiles.values())
                    counts(*latency.bins, *latency.bins.values())
                    assert all(0 < share <= 1 for share in latency.percentiles), latency.percentiles


def sane_log(kind: LogKind) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        frame = read_log(path, kind, latency_unit="us" if kind == "slat" else None)
        counts(*frame["t_seconds"], *frame["value"], *frame["block_bytes"].dropna())
        assert set(frame["direction"]) <= {"read", "write", "trim"}
        if "value_max" in frame:
            assert (frame["value_max"] >= frame["value"]).all()

    return read


def sane_iolog(path: Path) -> None:
    for batch in read_iolog(path):
        assert batch.offsets.min(initial=0) >= 0
        assert batch.lengths.min(initial=0) >= 0
        assert batch.times_us is None or batch.times_us.min(initial=0) >= 0


def sane_trace(path: Path) -> None:
    trace = load_trace(path)
    if trace.offsets.size and int((trace.offsets + trace.lengths).max()) > 1 << 32:
        return                  # larger than what is worth trying 400 times
    result = compare_chunk_sizes(trace, [65536], 1 << 24)
    assert result.bytes_distinct <= result.bytes_written


def sane_blkparse(path: Path) -> None:
    is_blkparse(path)
    for item in read_blkparse(path):
        counts(item.offset_bytes, item.time_seconds)
        assert item.length_bytes > 0


def sane_dump(path: Path) -> None:
    dump = read_thin_dump(path)
    assert 128 <= dump.superblock.data_block_sectors <= 1 << 21
    for thin in dump.thins.values():
        assert thin.virtual_blocks.size == thin.device.mapped_blocks
        assert (thin.virtual_blocks[1:] > thin.virtual_blocks[:-1]).all()
        if dump.superblock.data_blocks:
            at_most(int(thin.data_blocks.max(initial=0)), dump.superblock.data_blocks - 1)


def sane_observed(path: Path) -> None:
    observed = read_observed(path)
    frame = observed.frame
    assert (frame["t_seconds"].diff().dropna() > 0).all()
    counts(*frame["data_used_bytes"], *frame["metadata_used_bytes"].dropna())
    assert (frame["data_total_bytes"] > 0).all()
    slack = frame["data_error_bytes"] * 2 + frame["data_total_bytes"] / 100
    assert (frame["data_used_bytes"] <= frame["data_total_bytes"] + slack).all()
    json.dumps(observed.document(), allow_nan=False).encode()


def sane_case(path: Path) -> None:
    result = replay_case(path.parent)
    for step in result.steps:
        counts(step.used_data_blocks, step.used_metadata_blocks)
    json.dumps(result.document(), allow_nan=False)


def sane_requests(text: str) -> None:
    for request in parse_requests(text):
        assert math.isfinite(request.at)
        counts(request.offset_bytes, request.length_bytes)


def sane_times(text: str) -> None:
    for line in text.split("\n"):
        time = leading_time(line)
        assert time is None or math.isfinite(time.epoch_seconds)


def sane_sizes(text: str) -> None:
    for line in text.split("\n"):
        with suppress(InputError):
            counts(parse_human_size(line))


def sane_jobs(text: str) -> None:
    for job in parse_fio_jobs(text, Path("x.fio")):
        counts(job.operations)


def sane_proc(text: str) -> None:
    for parse in (parse_diskstats, parse_meminfo):
        with suppress(InputError):
            parse(text)  # type: ignore[operator]


def sane_image(path: Path) -> None:
    for layer in read_image(path).layers:
        counts(*(entry.size_bytes for entry in layer))


# -- inputs that are right -------------------------------------------------------------------------------------

STATUS = """thin: 0 131072 thin 4096 131071
lone: 0 131072 thin -
pool: 0 131072 thin-pool 0 830/8192 512/1024 - rw no_discard_passdown queue_if_no_space - 1024
full: 0 131072 thin-pool 0 830/8192 1024/1024 7 out_of_data_space ignore_discard error_if_no_space needs_check 1024
fail: 0 131072 thin-pool Fail
old: 0 131072 thin-pool 0 830/8192 512/1024 - rw no_discard_passdown
docker-8:1-pool: 0 8 linear
"""
TABLE = """thin: 0 131072 thin 253:2 0
snap: 0 131072 thin 253:2 1 253:7
pool: 0 131072 thin-pool 253:0 253:1 128 0 2 skip_block_zeroing error_if_no_space
under: 0 131072 linear 7:0 2048
"""
GROUPS = json.dumps({"report": [{"vg": [{"vg_name": "v", "vg_size": "1000B", "vg_free": "10B", "pv_count": "1"}]}]})
V2 = ("fio version 2 iolog\n/d add\n/d open\n/d write 0 4096\n/d wait 5 0\n/d trim 8192 4096\n/d sync 0 0\n"
      "/e write 4096 4096\n/d close\n")
V3 = ("fio version 3 iolog\n0 /d add\n1 /d open\n20 /d write 0 65536\n30 /d trim 0 65536\n40 /d write 131072 4096\n"
      "50 /d close\n")
BLKPARSE = """Input file sda.blktrace.0 added
  8,0    1        1     0.000000000   697  Q   W 223490 + 8 [kjournald]
  8,0    1        2     0.000001829   697  G   W 223490 + 8 [kjournald]
  8,0    1        3     0.000005000   697  Q FWS [kworker/u8+2]
  8,0    1        4     0.100000000   697  Q  RA 0 + 16 [cat]
  8,0    1        5     0.200000000   697  Q   D 256 + 512 [fstrim]
CPU0 (sda):
"""
XML = """<superblock uuid="" time="3" transaction="0" flags="0" version="2" data_block_size="128" nr_data_blocks="1000">
  <def name="0">
    <range_mapping origin_begin="0" data_begin="100" length="5" time="1"/>
  </def>
  <def name="1">
    <ref name="0"/>
    <single_mapping origin_block="9" data_block="7" time="1"/>
  </def>
  <device dev_id="0" mapped_blocks="4" transaction="0" creation_time="0" snap_time="1">
    <single_mapping origin_block="0" data_block="10" time="0"/>
    <range_mapping origin_begin="5" data_begin="20" length="3" time="1"/>
  </device>
  <device dev_id="7" mapped_blocks="7" transaction="0" creation_time="2" snap_time="2">
    <ref name="1"/>
    <single_mapping origin_block="12" data_block="8" time="2"/>
  </device>
</superblock>
"""
CASE = json.dumps({
    "case": "x", "thin_size_bytes": 1 << 20,
    "pool": {"chunk_size_bytes": 65536, "data_size_bytes": 1 << 22, "metadata_size_bytes": 1 << 21, "features": []},
    "steps": [{"title": "a", "ops": [{"op": "create_thin", "thin": 0}, {"op": "write", "thin": 0, "iolog": "w.log"},
                                     {"op": "create_snap", "thin": 1, "origin": 0}, {"op": "commit"}],
               "expect": {"used_data_blocks": 2, "used_metadata_blocks": None, "mapped_blocks": {"0": 2}}},
              {"title": "b", "ops": [{"op": "discard", "thin": 0, "offset": 0, "length": 65536},
                                     {"op": "flush", "thin": 0}, {"op": "resize_data", "data_size_bytes": 1 << 23},
                                     {"op": "deactivate"}, {"op": "activate"}, {"op": "delete", "thin": 1}]}]})
TRACE = "marker 1000.5\n0.0 Q W 0 4096\n0.1 Q D 8 4096\n0.2 G W 0 4096\n0.3 Q R 0 512\n"
TIMES = """2026-11-24T10:00:00Z pool: 0 1 x
2026-11-24 10:00:00.123 +0100 x
20261124T100000Z x
[2026-11-24T10:00] x
(Tue Nov 24 10:00:00 UTC 2026) x
1795514400.5 x
2026-03-02T00:00:00+0000 node1 poolstat[4242]: docker-pool: 0 1 thin-pool
"""
SIZES = "107.4GB\n860.2 kB\n652.7 Mb\n0B\n1.05MB\n1e3kB\n64 Kb\n"
JOBS = ("[global]\nbs=4k\nrw=randwrite\n[a]\nsize=24m\nend_fsync=1\n[b]\nstonewall\nrw=rw\nrwmixread=70\nsize=1g\n"
        "runtime=5s\n")
FIO = (FIELD / "fio-byte-order-mark" / "utf8-bom.json").read_text("utf-8-sig")
LOGS = ("0, 16564, 1, 4096, 0, 0\n8, 10977, 1, 4096, 4096, 0\n",
        "250, 1390000, 2500000, 0, 4096, 0\n500, 14, 26, 1, 0, 0\n",
        "250, 1390000, 0, 4096, 8192, 0, 123456789\n", "5, 10, 20, 1, 4096, 8192, 0x0000, 77\n", "5, 1390, 1, 4096\n")
DOCKER_TEXT = (FIELD / "observed-loop-available" / "thin-pool.log").read_text()[:1740]


def read(path: Path) -> str:
    return path.read_text()


def head(path: Path, samples: int) -> str:
    return "\n".join(read(path).split("\n")[:samples]) + "\n"


@dataclass(frozen=True)
class Target:
    """A reader with inputs that it takes; of ``share`` shares of all inputs.  ``of_file``: it is given a path."""

    read: Callable[[Any], None]
    right: tuple[str, ...]
    change: Callable[[random.Random, str], str] = text_changed
    of_file: bool = False
    share: int = 1


TARGETS: dict[str, Target] = {
    "dmsetup status": Target(sane_status, (STATUS,), share=3),
    "dmsetup table": Target(sane_table, (TABLE,)),
    "lvs": Target(sane_lvm, (read(READERS / "lvs.json"),), json_changed, share=2),
    "vgs": Target(sane_vgs, (GROUPS,), json_changed),
    "docker info": Target(sane_docker, (read(READERS / "docker-info-loop-lvm.json"),
                                        read(READERS / "docker-info-overlay2.json")), json_changed, share=2),
    "fio": Target(sane_fio, (FIO,), json_changed, of_file=True, share=3),
    "fio log": Target(sane_log("clat"), LOGS, of_file=True, share=2),
    "fio log, us": Target(sane_log("slat"), LOGS, of_file=True),
    "fio log, bw": Target(sane_log("bw"), LOGS, of_file=True),
    "iolog": Target(sane_iolog, (V2, V3), of_file=True, share=3),
    "trace": Target(sane_trace, (V2, V3, BLKPARSE), of_file=True),
    "blkparse": Target(sane_blkparse, (BLKPARSE,), of_file=True, share=2),
    "thin_dump": Target(sane_dump, (XML,), of_file=True, share=3),
    "observed dmsetup": Target(sane_observed, (read(OBSERVED / "dmsetup.log"), head(
        FIELD / "observed-journal" / "journal-short-iso.log", 8)), of_file=True, share=2),
    "observed lvs": Target(sane_observed, (read(OBSERVED / "lvs.log"), head(
        FIELD / "lvs-text-and-warnings" / "warning-before-json.log", 9)), of_file=True, share=2),
    "observed docker": Target(sane_observed, (read(OBSERVED / "docker-info.log"),), of_file=True, share=2),
    "observed, framed": Target(sane_observed, (DOCKER_TEXT,), framed, of_file=True, share=2),
    "case": Target(sane_case, (CASE,), json_changed, of_file=True, share=2),
    "traced requests": Target(sane_requests, (TRACE,)),
    "parameters": Target(lambda path: counts(read_parameters(path).schema_version),
                         ('{"schema_version": 1, "log": {}, "timing": {}}',), json_changed, of_file=True),
    "proc": Target(sane_proc, (read(READERS / "diskstats.txt"), read(READERS / "meminfo.txt"))),
    "times": Target(sane_times, (TIMES,)),
    "sizes": Target(sane_sizes, (SIZES,)),
    "fio job file": Target(sane_jobs, (JOBS,)),
}
SHARES = sum(target.share for target in TARGETS.values()) + 1


@contextmanager
def in_time(what: str) -> Iterator[None]:
    """Raises AssertionError for what takes too long, or for ever."""
    def late(_: int, __: FrameType | None) -> None:
        raise AssertionError(f"{what}: more than {MOST_SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def tried(what: str, read: Callable[[Any], None], given: Any) -> bool:
    """Whether the input was read; else it was refused in one line.  ``what`` names it in a failure."""
    with in_time(what):
        try:
            read(given)
        except InputError as error:
            said = str(error)
            assert said, what
            assert "\n" not in said, (what, said)
            assert len(said) < 3000, (what, said[:200])
            said.encode("utf-8", "surrogateescape")
            return False
        except BaseException as error:
            error.add_note(f"input {what}")
            raise
    return True


@pytest.mark.parametrize("name", TARGETS)
def test_a_changed_input_is_read_or_refused(tmp_path: Path, name: str) -> None:
    target = TARGETS[name]
    path = tmp_path / ("case.json" if name == "case" else "file")
    (tmp_path / "w.log").write_text("fio version 2 iolog\n/d write 0 4096\n/d write 983040 131072\n")
    for text in target.right:
        if name != "fio log" or text.count(",") != 3:
            path.write_text(text)
            assert tried(f"{name}, unchanged", target.read, path if target.of_file else text)
    taken = 0
    inputs = INPUTS * target.share // SHARES
    for number in range(inputs):
        seed = f"{SEED}/{name}/{number}"
        choose = random.Random(seed)
        text = target.change(choose, choose.choice(target.right))
        if target.of_file:
            path.write_bytes(as_bytes(choose, text))
        taken += tried(seed, target.read, path if target.of_file else text)
    print(f"{name}: {inputs} inputs of seed {SEED}, {taken} read, {inputs - taken} refused")
    assert taken > 0 or inputs < 50


def archive(choose: random.Random) -> bytes:
    """An image's archive whose manifest, or whose bytes, were changed."""
    def tar(members: dict[str, bytes]) -> bytes:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as out:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                out.addfile(member, io.BytesIO(content))
        return raw.getvalue()

    manifest = json.dumps([{"RepoTags": ["a:1"], "Layers": ["l.tar"]}])
    if choose.random() < 0.5:
        manifest = json_changed(choose, manifest)
    whole = tar({"l.tar": tar({"etc/x": b"12345"}), "manifest.json": manifest.encode("utf-8", "surrogatepass")})
    if choose.random() < 0.5:
        place = choose.randrange(2048)
        whole = whole[:place] + choose.randbytes(choose.randint(1, 8)) + whole[place + choose.randint(0, 8):]
    return whole


def test_a_changed_image_archive_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    for number in range(INPUTS // SHARES):
        seed = f"{SEED}/image/{number}"
        path.write_bytes(archive(random.Random(seed)))
        tried(seed, sane_image, path)
