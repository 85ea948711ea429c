#!/bin/bash
# usage: tear-down.sh DATA_ROOT VOLUME_GROUP POOL_DISK SPARE_DISK
# Takes every storage off the two disks; may be run at any time, in any state.
systemctl stop lab-sampler.service lab-trace.service 2>/dev/null
systemctl stop docker.socket docker.service containerd.service
systemctl reset-failed docker.service 2>/dev/null
findmnt -rno TARGET | grep "^$1\(/\|$\)" | sort -r | while read -r target; do
  umount "$target" || umount -l "$target"
done
left=$(dmsetup ls | awk '/^docker-[0-9]+:[0-9]+-[0-9]+-/ {print $1}')
for name in $(grep -v -- '-pool$' <<<"$left") $(grep -- '-pool$' <<<"$left"); do
  dmsetup remove --retry "$name"
done
for file in $(losetup -nO BACK-FILE | grep "^$1/"); do losetup -j "$file" -nO NAME | xargs -r losetup -d; done
vgs "$2" >/dev/null 2>&1 && vgremove -ff -y "$2"
for disk in "$3" "$4"; do
  wipefs -a -q "$disk" "$disk"-part* 2>/dev/null
  blockdev --flushbufs "$disk"
  dd if=/dev/zero of="$disk" bs=1M count=16 oflag=direct status=none
done
udevadm settle
rm -rf "$1"; mkdir -p "$1"; rm -f /etc/docker/daemon.json
if dmsetup ls | grep -q ^docker-; then dmsetup ls; exit 1; fi
