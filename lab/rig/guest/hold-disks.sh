#!/bin/bash
# usage: hold-disks.sh BYTES_A_SECOND OPERATIONS_A_SECOND DISK...
# Holds all processes to that speed on each disk, reads and writes each by themselves; "max" lets them go.
set -euo pipefail
bytes=$1 operations=$2
shift 2
echo +io >/sys/fs/cgroup/cgroup.subtree_control
for disk in "$@"; do
  number=$(lsblk -dnro MAJ:MIN "$disk")
  for limit in /sys/fs/cgroup/*/io.max; do
    echo "$number rbps=$bytes wbps=$bytes riops=$operations wiops=$operations" >"$limit"
  done
done
