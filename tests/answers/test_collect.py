"""The script that records a log on a user's host: what it runs, what it writes, and that the reader takes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.answers.forecast import collect_script
from lab.monitoring.framing import posix_cksum
from lab.monitoring.readings import read_observed

STATUS = ("docker-pool: 0 209715200 thin-pool 12 "
          "1043/524288 {used}/1638400 - rw discard_passdown queue_if_no_space - 1024")
LVS = ('{"report": [{"lv": [{"lv_name":"pool", "vg_name":"docker", "lv_attr":"twi-aot---", "lv_size":"107374182400B", '
       '"lv_metadata_size":"2147483648B", "chunk_size":"65536B", "data_percent":"1.34", "metadata_percent":"0.20"}]}]}')
DOCKER = "Server:\n Storage Driver: devicemapper\n  Pool Name: docker-pool\n  Registry: täglich"
SHELLS = [[shell] for shell in ("dash", "sh") if shutil.which(shell)] + (
    [["busybox", "sh"]] if shutil.which("busybox") else [])
READS_ONLY = {"dmsetup status", "lvs --reportformat", "docker info"}
OTHER_COMMANDS = {"date", "cksum", "printf", "sleep", "command", "timeout", "getopts", "exit", "export", "set",
                  "return", "shift", "usage"}


class Host:
    """A directory of stand-in commands that note how they were called, and nothing else on PATH but date and cksum."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.calls, self.home = folder / "bin", folder / "calls", folder / "home"
        self.bin.mkdir()
        self.home.mkdir()
        self.script = folder / "collect.sh"
        self.script.write_text(collect_script(), encoding="utf-8")
        for tool in ("date", "cksum", "sleep", "cat", "timeout"):
            found = shutil.which(tool)
            assert found
            (self.bin / tool).symlink_to(found)

    def command(self, name: str, prints: str, status: int = 0) -> None:
        text = self.bin / f"{name}.out"
        text.write_text(prints, encoding="utf-8")
        script = self.bin / name
        script.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.calls}\ncat {text}\nexit {status}\n')
        script.chmod(0o755)

    def run(self, *arguments: str, shell: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        # PATH ends with /usr/sbin:/sbin in the script: a real dmsetup there must not be found before the stand-in
        return subprocess.run([*_absolute(shell or SHELLS[0]), str(self.script), *arguments], cwd=self.home, text=True,
                              capture_output=True, env={"PATH": str(self.bin)}, timeout=30, check=False)


def _absolute(shell: list[str]) -> list[str]:
    return [str(shutil.which(shell[0])), *shell[1:]]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    found = Host(tmp_path)
    found.command("dmsetup", STATUS.format(used=21873) + "\n")
    found.command("lvs", LVS + "\n")
    found.command("docker", DOCKER + "\n")
    return found


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_shell_takes_the_script(shell: list[str], host: Host) -> None:
    done = subprocess.run([*_absolute(shell), "-n", str(host.script)], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_what_it_records_is_read_back(shell: list[str], host: Host) -> None:
    log = host.home / "pool.log"
    for used in (21873, 21900):
        host.command("dmsetup", STATUS.format(used=used) + "\n")
        done = host.run("-o", str(log), shell=shell)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        text = log.read_text()
        log.write_text(text.replace(text.split("\n")[0].split()[-1], "2026-11-01T00:00:00Z") if used == 21873 else text)
    # the first sample's time was changed by hand: its checksum tells, and it is left out with a word
    host.run("-o", str(log), shell=shell)
    text = log.read_text()
    assert text.count("=== lab-observed 1 ") == 3
    assert text.count(DOCKER) == 3
    frames = re.findall(r"(?s)(=== lab-observed 1 .*?\n)=== end (\d+) (\d+)\n", text)
    sums = [(posix_cksum(body.encode()), len(body.encode())) == (int(crc), int(size)) for body, crc, size in frames]
    assert sums == [False, True, True]


def test_samples_some_seconds_apart_become_levels(host: Host) -> None:
    log = host.home / "pool.log"
    host.run("-o", str(log))
    host.command("dmsetup", STATUS.format(used=21900) + "\n")
    subprocess.run(["sleep", "1.1"], check=True)
    host.run("-o", str(log))
    observed = read_observed(log)
    assert observed.frame["data_used_bytes"].tolist() == [21873 * 65536, 21900 * 65536]
    assert observed.frame["source"].tolist() == ["dmsetup", "dmsetup"]
    assert observed.pool == "docker-pool"
    assert observed.repairs == ()


def test_it_asks_for_states_only(host: Host) -> None:
    host.run()
    calls = host.calls.read_text().splitlines()
    assert [call.split()[:2] for call in calls] == [
        ["dmsetup", "status"], ["lvs", "--reportformat"], ["docker", "info"]]
    assert "--noflush" in calls[0].split()  # without it, the status commits the pool's metadata
    assert "--units b" in calls[1]


def test_it_writes_nothing_but_its_own_output(host: Host) -> None:
    before = sorted(host.home.rglob("*"))
    assert host.run().stdout.startswith("=== lab-observed 1 ")
    assert sorted(host.home.rglob("*")) == before
    script = "\n".join(line.split("#", 1)[0] if line.lstrip().startswith("#") else line
                       for line in collect_script().splitlines())
    redirections = re.findall(r"[0-9]?>>?\s*&?\s*[^\s)|;]+", script)
    assert set(redirections) == {">/dev/null", "2>/dev/null", "2>&1", ">&2", '>>"$file"'}
    assert set(re.findall(r"^\s*ask (\S+ \S+)", script, re.MULTILINE)) == READS_ONLY


def test_it_runs_no_command_that_could_write() -> None:
    """Every first word of a simple command is a shell word, one of the readers, or a function of the script."""
    script = re.sub(r"(?m)#.*$", "", collect_script().split("\n", 1)[1].replace("[!0-9]", ""))
    script = re.sub(r"'[^']*'|\"[^\"$]*\"", "''", script)
    words = set(re.findall(r"(?m)(?:^|[;|&({]|\bdo\b|\belse\b|\bif\b|\$\()[ \t]*([a-z_]+)(?=[\s;)]|$)", script))
    shell_words = {"while", "do", "done", "if", "then", "else", "fi", "case", "in", "esac", "e", "o"}
    assert words <= OTHER_COMMANDS | shell_words | {"ask", "sample"}, words


def test_a_command_that_fails_or_is_missing_leaves_the_others(host: Host) -> None:
    host.command("lvs", "half a rep", status=5)
    (host.bin / "docker").unlink()
    text = host.run().stdout
    assert "half a rep\n--- status 5\n=== end " in text
    assert "--- docker" not in text
    assert "--- dmsetup" in text


@pytest.mark.parametrize("interval", ["0", "1.5", "-3", "ten", "00"])
def test_an_interval_that_is_none_is_refused(interval: str, host: Host) -> None:
    done = host.run("-e", interval)
    assert (done.returncode, done.stdout) == (2, "")
    assert "whole seconds" in done.stderr


def test_an_unknown_option_is_refused(host: Host) -> None:
    done = host.run("-x")
    assert done.returncode == 2
    assert "usage: collect.sh" in done.stderr


def test_a_word_that_is_no_option_is_refused(host: Host) -> None:
    done = host.run("pool.log")
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: collect.sh" in done.stderr


def test_a_timeout_of_another_syntax_is_not_used(host: Host) -> None:
    """busybox before 1.30 wants -t: its ``timeout 60 dmsetup`` would look for a command named 60."""
    (host.bin / "timeout").unlink()
    host.command("timeout", "", status=127)
    text = host.run().stdout
    assert STATUS.format(used=21873) + "\n--- status 0\n" in text


def test_a_log_that_cannot_be_written_ends_it(host: Host) -> None:
    done = host.run("-e", "1", "-o", os.devnull + "/pool.log")
    assert done.returncode != 0


@pytest.mark.parametrize("text", [b"", b"a", b"123456789", "täglich\n".encode() * 50, bytes(range(1, 256)) * 9])
def test_the_readers_checksum_is_cksums(text: bytes) -> None:
    said = subprocess.run(["cksum"], input=text, capture_output=True, check=True).stdout.split()
    assert (posix_cksum(text), len(text)) == (int(said[0]), int(said[1]))
