"""``tear-down.sh`` with every command that could harm replaced: what it removes, and what it leaves alone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

import lab

SCRIPT = Path(lab.__file__).parent / "rig" / "guest" / "tear-down.sh"
REAL = ("bash", "readlink", "grep", "awk", "tac", "sort", "mkdir", "cat", "sed")
FAKES = {
    "systemctl": "", "udevadm": "", "blockdev": "", "wipefs": "", "vgremove": 'rm -f "$STATE/vgs"', "dd": "",
    "dmsetup": '[ "$1" = ls ] && cat "$STATE/dmsetup"; [ "$1" = remove ] && sed -i "/^${!#}\\t/d" "$STATE/dmsetup"',
    "losetup": '[ "$1" = --raw ] && cat "$STATE/losetup"',
    "lsblk": '[[ ${!#} == */devices/* ]] && echo part',
    "vgs": 'cat "$STATE/vgs" 2>/dev/null',
    "findmnt": 'if [[ " $* " == *" -S "* ]]; then grep -F -- "${!#} " "$STATE/sources"; else cat "$STATE/mounts"; fi',
    # takes the last mount away whose name, with blanks written as findmnt does, is the one given
    "umount": '[ -z "$BUSY" ] || exit 1; t=${!#}; t=${t// /\\\\x20}; '
              'grep -vxF -- "$t" "$STATE/mounts" >"$STATE/m"; cat "$STATE/m" >"$STATE/mounts"',
    "rm": '[[ ${!#} == "$STATE"/* ]] && exec REALRM "$@"',
}


class Box:
    """Two disks, a data root with something in it, and what the fake commands know."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "var lib" / "docker"
        (self.root / "inside").mkdir(parents=True)
        for part in ("devices", "by-id", "tools"):
            (folder / part).mkdir()
        for name in ("sdb1", "sdb2", "sdc1"):
            (folder / "devices" / name).touch()
        for number in (1, 2):
            (folder / "by-id" / f"ata-part{number}").symlink_to(folder / "devices" / f"sdb{number}")
        for name in REAL:
            found = shutil.which(name)
            assert found is not None
            (folder / "tools" / name).symlink_to(found)
        real_rm = shutil.which("rm")
        assert real_rm is not None
        for name, text in FAKES.items():
            tool = folder / "tools" / name
            tool.write_text(f'#!/bin/bash\necho "{name} $*" >>"$STATE/calls"\n{text.replace("REALRM", real_rm)}\n')
            tool.chmod(0o755)
        for name in ("mounts", "sources", "dmsetup", "losetup", "calls"):
            (folder / name).touch()
        self.busy = ""

    def device(self, name: str) -> str:
        return str(self.folder / "devices" / name)

    def mounted(self, names: Iterable[str]) -> None:
        (self.folder / "mounts").write_text("".join(name.replace(" ", "\\x20") + "\n" for name in names))

    def group(self, *rows: str) -> None:
        (self.folder / "vgs").write_text("".join(f"  {row}\n" for row in rows))

    def run(self) -> subprocess.CompletedProcess[str]:
        disks = [str(self.folder / "by-id" / f"ata-part{number}") for number in (1, 2)]
        return subprocess.run(["/bin/bash", str(SCRIPT), str(self.root), "docker", *disks], text=True,
                              env={"PATH": str(self.folder / "tools"), "STATE": str(self.folder), "BUSY": self.busy},
                              capture_output=True, check=False, cwd=self.folder)

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    def called(self, *begins: str) -> list[str]:
        return [line for line in self.calls if line.startswith(begins)]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


HARM = ("vgremove", "dd", "wipefs", "rm", "umount", "dmsetup remove", "losetup -d")


def test_what_is_the_labs_is_taken_away(box: Box) -> None:
    box.group(f"uuid-1 {box.device('sdb1')}")
    (box.folder / "dmsetup").write_text("docker-8:17-12-pool\t(254:1)\ndocker-8:17-12-abc\t(254:2)\n"
                                        "vg0-root\t(254:0)\n")
    (box.folder / "losetup").write_text(f"/dev/loop0 {str(box.root).replace(' ', chr(92) + 'x20')}/data\\x20file\n"
                                        "/dev/loop1 /srv/image\n")
    box.mounted(["/", str(box.root), f"{box.root}/volumes"])
    told = box.run()
    assert told.returncode == 0, told.stderr
    assert box.called("vgremove") == ["vgremove -ff -y -S vg_uuid=uuid-1"]
    assert box.called("umount") == [f"umount {box.root}/volumes", f"umount {box.root}"]
    assert box.called("dmsetup remove") == ["dmsetup remove --retry docker-8:17-12-abc",
                                            "dmsetup remove --retry docker-8:17-12-pool"]
    assert box.called("losetup -d") == ["losetup -d /dev/loop0"]
    assert [line.split()[2] for line in box.called("dd")] == [f"of={box.device(name)}" for name in ("sdb1", "sdb2")]
    assert all("conv=nocreat" in line for line in box.called("dd"))
    assert list(box.root.iterdir()) == []
    assert box.called(f"rm -rf --one-file-system {box.root}")


def test_done_twice_is_as_done_once(box: Box) -> None:
    for _ in range(2):
        assert box.run().returncode == 0
    assert not box.called("vgremove", "umount")


@pytest.mark.parametrize("rows", [
    ["uuid-1 {sdc1}"], ["uuid-1 {sdb1}", "uuid-1 {sdc1}"], ["uuid-1 {sdb1}", "uuid-2 {sdc1}"],
    ["uuid-1 [unknown]"], ["uuid-1"]])
def test_a_group_of_that_name_with_a_volume_elsewhere_ends_it_before_anything_is_changed(
        box: Box, rows: list[str]) -> None:
    names = {name: box.device(name) for name in ("sdb1", "sdc1")}
    box.group(*(row.format(**names) for row in rows))
    box.mounted([str(box.root)])
    told = box.run()
    assert told.returncode == 1
    assert "which is none of" in told.stderr
    assert "nothing was changed" in told.stderr
    assert box.called(*HARM, "systemctl") == []
    assert (box.root / "inside").exists()


def test_a_group_that_comes_up_elsewhere_meanwhile_is_not_removed(box: Box) -> None:
    """As a disk that is plugged in between the first look and the removal."""
    box.group(f"uuid-1 {box.device('sdb1')}")
    umount = box.folder / "tools" / "umount"
    umount.write_text(umount.read_text() + f'\necho "  uuid-1 {box.device("sdc1")}" >>"$STATE/vgs"\n')
    box.mounted([str(box.root)])
    told = box.run()
    assert told.returncode == 1
    assert box.called("vgremove", "dd", "wipefs", "rm") == []
    assert (box.root / "inside").exists()


def test_names_with_blanks_and_odd_signs_are_unmounted_and_others_are_not(box: Box) -> None:
    own = [f"{box.root}", f"{box.root}/a b", f"{box.root}/a b/100%s", f"{box.root}/-f"]
    foreign = ["/", "/srv", f"{box.root}er", f"{box.root} 2", "/srv/var lib/docker"]
    box.mounted([*foreign, *own])
    told = box.run()
    assert told.returncode == 0, told.stderr
    assert box.called("umount") == [f"umount {name}" for name in reversed(own)]
    assert (box.folder / "mounts").read_text().count("\n") == len(foreign)


def test_what_stays_mounted_below_the_data_root_is_not_deleted(box: Box) -> None:
    box.busy = "1"
    box.mounted([f"{box.root}/inside"])
    told = box.run()
    assert told.returncode == 1
    assert "still mounted" in told.stderr
    assert (box.root / "inside").exists()
    assert box.called("rm") == []


def test_a_disk_that_is_mounted_elsewhere_is_not_erased(box: Box) -> None:
    (box.folder / "sources").write_text(f"{box.device('sdb2')} /srv\n")
    told = box.run()
    assert told.returncode == 1
    assert "is mounted still" in told.stderr
    assert [line for line in box.called("dd") if "sdb2" in line] == []


@pytest.mark.parametrize("target", [None, "a file", "nowhere"])
def test_a_disk_that_is_gone_ends_it_before_anything_is_changed_or_made(box: Box, target: str | None) -> None:
    link = box.folder / "by-id" / "ata-part2"
    link.unlink()
    if target is not None:
        (box.folder / "a file").touch()
        link.symlink_to(box.folder / target)
    told = box.run()
    assert told.returncode == 1
    assert "is no disk" in told.stderr
    assert box.called(*HARM, "systemctl") == []


@pytest.mark.parametrize("root", ["", "/", "relative", "/var/../etc"])
def test_a_data_root_that_cannot_be_one_is_refused(box: Box, root: str) -> None:
    told = subprocess.run(["/bin/bash", str(SCRIPT), root, "docker", "x", "y"], text=True, capture_output=True,
                          env={"PATH": str(box.folder / "tools"), "STATE": str(box.folder)}, check=False)
    assert told.returncode == 1
    assert "the data root is" in told.stderr
    assert box.calls == []
