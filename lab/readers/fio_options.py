"""Which of fio's options a model can follow, which change nothing that it follows, and which it refuses.

Names and aliases: fio(1) 3.33, "JOB PARAMETERS".  What stands in none of the tables is unknown here.
"""

from __future__ import annotations

from collections.abc import Mapping

ALIASES: Mapping[str, str] = {
    "readwrite": "rw", "blocksize": "bs", "timeout": "runtime", "wait_for_previous": "stonewall",
    "io_limit": "io_size", "blockalign": "ba", "blocksize_range": "bsrange",
    "iomem": "mem", "mem_align": "iomem_align",
}

READ: frozenset[str] = frozenset({
    "rw", "bs", "size", "io_size", "filename", "number_ios", "runtime", "time_based", "direct", "buffered",
    "fdatasync", "end_fsync", "rwmixread", "rwmixwrite", "ioengine", "iodepth",
})
"""Options whose value decides something."""

WITHOUT_VALUE: frozenset[str] = frozenset({
    "time_based", "stonewall", "thread", "group_reporting", "new_group", "refill_buffers", "exitall", "norandommap",
    "zero_buffers", "stats",
})
"""Options that may stand without ``=``; they are on then."""

IGNORED: frozenset[str] = frozenset({
    "stonewall", "thread", "group_reporting", "new_group", "exitall", "description", "stats",
    "randrepeat", "allrandrepeat", "random_generator", "create_on_open", "create_serialize", "create_fsync",
    "refill_buffers", "scramble_buffers", "zero_buffers", "buffer_pattern", "buffer_compress_percentage",
    "buffer_compress_chunk", "dedupe_percentage", "mem", "iomem_align", "invalidate",
    "fadvise_hint", "disable_lat", "disable_clat", "disable_slat", "disable_bw", "disable_bw_measurement",
    "gtod_reduce", "clocksource", "clat_percentiles", "lat_percentiles", "slat_percentiles", "percentile_list",
    "significant_figures", "bwavgtime", "iopsavgtime", "log_avg_msec", "log_hist_msec", "log_max_value",
    "log_offset", "log_compression", "log_unix_epoch", "write_bw_log", "write_lat_log", "write_iops_log",
    "write_hist_log", "per_job_logs", "unified_rw_reporting", "unit_base", "disk_util",
})
"""Options that change nothing a model follows, whatever their value: order, buffers' content, what is reported."""

ONLY: Mapping[str, tuple[tuple[str, ...], str]] = {
    "numjobs": (("1",), "a model follows one job at a time"),
    "nrfiles": (("1",), "a job works on one file"),
    "loops": (("1",), "a job makes one pass; a scenario's `repeats` makes more"),
    "overwrite": (("0",), "the file would be written before the job"),
    "fallocate": (("none", "0"), "a file allocated beforehand is not modelled"),
    "unlink": (("0",), "the file stays for the jobs that follow"),
    "unlink_each_loop": (("0",), "the file stays for the jobs that follow"),
    "norandommap": (("0",), "a random job touches each block once"),
    "random_distribution": (("random",), "blocks are picked evenly"),
    "percentage_random": (("100",), "a random job is random throughout"),
    "offset": (("0",), "a job begins at the file's start"),
    "offset_increment": (("0",), "a job begins at the file's start"),
    "fsync": (("0",), "only fdatasync and end_fsync are modelled"),
    "fsync_on_close": (("0",), "only fdatasync and end_fsync are modelled"),
    "sync": (("0", "none"), "only fdatasync and end_fsync are modelled"),
    "verify": (("0", "none"), "no content is modelled"),
    "do_verify": (("0",), "no content is modelled"),
    "thinktime": (("0",), "a job never waits by itself"),
    "ramp_time": (("0",), "all of a job is measured"),
    "startdelay": (("0",), "a job begins at once"),
    "kb_base": (("1024",), "sizes are read with fio's default"),
    "zonemode": (("none",), "a disk has no zones"),
    "fill_device": (("0",), "a job writes its own size"),
    "file_append": (("0",), "a job begins at the file's start"),
    "bs_unaligned": (("0",), "operations are whole blocks at multiples of their size"),
    "hipri": (("0",), "completions are not polled for"),
    "iodepth_batch": (("1",), "a job waits for each operation"),
    "iodepth_batch_submit": (("1",), "a job waits for each operation"),
    "continue_on_error": (("none", "0"), "a failed operation ends the job"),
}
"""Options that are taken with these values alone, and why."""

REFUSED: Mapping[str, str] = {
    "include": "the container would not have the other file",
    "directory": "the lab sets it to the target",
    "randseed": "the lab sets it from the scenario's seed",
    "bssplit": "all operations are of one size; write bs=4k",
    "bsrange": "all operations are of one size; write bs=4k",
    "ba": "blocks lie at multiples of their size",
    "filesize": "the file is as large as size says",
    "filename_format": "write filename=NAME",
    "opendir": "write filename=NAME",
    "file_service_type": "a job works on one file",
    "sync_file_range": "only fdatasync and end_fsync are modelled",
    "rate": "a job is as fast as its storage",
    "rate_min": "a job is as fast as its storage",
    "rate_iops": "a job is as fast as its storage",
    "rate_iops_min": "a job is as fast as its storage",
    "rate_process": "a job is as fast as its storage",
    "rate_cycle": "a job is as fast as its storage",
    "rate_ignore_thinktime": "a job is as fast as its storage",
    "max_latency": "a job is as fast as its storage",
    "latency_target": "a job is as fast as its storage",
    "thinktime_blocks": "a job never waits by itself",
    "thinktime_spin": "a job never waits by itself",
    "zonesize": "a disk has no zones",
    "zonerange": "a disk has no zones",
    "zoneskip": "a disk has no zones",
    "zonecapacity": "a disk has no zones",
    "verify_pattern": "no content is modelled",
    "verify_backlog": "no content is modelled",
    "read_iolog": "replay a trace with `lab replay`",
    "write_iolog": "no trace is written",
    "rw_sequencer": "a job is sequential or random, not both",
    "flow": "one job runs at a time",
    "wait_for": "jobs run in the order of the file",
    "cpus_allowed": "no processor is modelled",
    "exec_prerun": "no other program is run",
    "exec_postrun": "no other program is run",
    "cgroup": "no limits are modelled",
    "trim_percentage": "a job reads and writes only",
    "experimental_verify": "no content is modelled",
}
"""Options that a model cannot follow, and why or what to write."""

SYNCHRONOUS = ("psync", "sync", "pvsync")
"""Engines that wait for each operation, whatever iodepth says (fio(1), "I/O engine")."""

ASYNCHRONOUS = ("libaio", "io_uring", "posixaio")
"""Engines that have iodepth operations under way at a time."""
