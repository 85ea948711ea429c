#!/bin/bash
# usage: tear-down.sh DATA_ROOT VOLUME_GROUP POOL_DISK SPARE_DISK
# Takes every storage off the two disks; may be run at any time, in any state.
# The disks and the volumes of the group are looked at before anything else, and again right before they are erased: a
# group that has a volume elsewhere, and a mount that stays, end it before anything is lost.
export LC_ALL=C
root=$1 group=$2 pool=$3 spare=$4

fail() { echo "tear-down.sh: $*" >&2; exit 1; }

# The disk by the name that it has now.
resolved() {
  local real
  real=$(readlink -e "$1") && lsblk -dno TYPE "$real" 2>/dev/null | grep -qx 'disk\|part' && echo "$real"
}

# The uuid of each group of that name, all of whose volumes are on the two disks or their partitions.
own_groups() {
  local own uuid volume device
  own=$(for device in "$pool" "$pool"-part* "$spare" "$spare"-part*; do readlink -e "$device"; done)
  vgs --noheadings -o vg_uuid,pv_name -S "vg_name=$group" | while read -r uuid volume; do
    device=$(readlink -e "$volume")
    if [ -z "$device" ] || ! grep -qxF "$device" <<<"$own"; then
      echo "tear-down.sh: a volume group $group is on $volume, which is none of $pool and $spare" >&2
      exit 1
    fi
    echo "$uuid"
  done
  return "${PIPESTATUS[1]}"
}

# The mounts at and below the data root, those mounted last first, each ended by a zero byte.
mounts() {
  local raw target
  findmnt -rno TARGET | tac | while IFS= read -r raw; do
    printf -v target -- "${raw//%/%%}"       # findmnt writes blanks and the like as \x20
    if [[ $target == "$root" || $target == "$root"/* ]]; then printf '%s\0' "$target"; fi
  done
}

[[ $root == /?* && $root != *..* ]] || fail "the data root is '$root'"
for disk in "$pool" "$spare"; do resolved "$disk" >/dev/null || fail "$disk is no disk"; done
own_groups >/dev/null || fail "nothing was changed"

systemctl stop lab-sampler.service lab-trace.service 2>/dev/null
systemctl stop docker.socket docker.service containerd.service
systemctl reset-failed docker.service 2>/dev/null
mapfile -d '' -t targets < <(mounts)
for target in "${targets[@]}"; do
  umount "$target" || umount -l "$target"
done
left=$(dmsetup ls | awk '/^docker-[0-9]+:[0-9]+-[0-9]+-/ {print $1}')
for name in $(grep -v -- '-pool$' <<<"$left") $(grep -- '-pool$' <<<"$left"); do
  dmsetup remove --retry "$name"
done
losetup --raw -nO NAME,BACK-FILE | while IFS=' ' read -r name raw; do
  printf -v file -- "${raw//%/%%}"
  if [[ $file == "$root"/* ]]; then losetup -d "$name"; fi
done
groups=$(own_groups) || fail "the volume group $group is left as it is"
for uuid in $(sort -u <<<"$groups"); do vgremove -ff -y -S "vg_uuid=$uuid"; done
for disk in "$pool" "$spare"; do
  device=$(resolved "$disk") || fail "$disk is no disk any more"
  if findmnt -rno TARGET -S "$device"; then fail "$disk is mounted still"; fi
  for part in "$disk"-part*; do
    if [ -e "$part" ]; then wipefs -a -q "$part" 2>/dev/null; fi
  done
  wipefs -a -q "$device" 2>/dev/null
  blockdev --flushbufs "$device"
  dd if=/dev/zero of="$device" bs=1M count=16 oflag=direct conv=nocreat status=none
done
udevadm settle
mapfile -d '' -t targets < <(mounts)
[ "${#targets[@]}" = 0 ] || fail "still mounted: ${targets[*]}"
rm -rf --one-file-system "$root"; mkdir -p "$root"; rm -f /etc/docker/daemon.json
if dmsetup ls | grep -q ^docker-; then dmsetup ls; exit 1; fi
