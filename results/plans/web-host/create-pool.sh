#!/bin/sh
# The thin pool of the plan "web-host".  Read it before you run it, as root; nothing has run it for you.
#
# It needs a volume group "docker" with 15.16 GiB free:
#   data 10.51 GiB, metadata 12 MiB, LVM's spare of the same size, and 4.629 GiB
#   that stay free, so that LVM can extend the data by 20 % 2 times.
# To make one on an empty disk (this erases the disk):
#   pvcreate /dev/DISK
#   vgcreate docker /dev/DISK
set -eu

# LVM rounds sizes up to whole extents.  With -l 95%VG and 1%VG, as Docker's documentation has it, next to nothing is
# left for extensions: 95 + 1 + 1 for the spare.
lvcreate --wipesignatures y -n thinpool -L 10764m docker
lvcreate --wipesignatures y -n thinpoolmeta -L 12m docker

# Data blocks of 64 KiB.  They cannot be changed later.  Without zeroing: containers do not see each other's blocks
# through a file system.
lvconvert -y --zero n -c 64K --thinpool docker/thinpool --poolmetadata docker/thinpoolmeta

# Autoextend: the profile is the file beside this one, and LVM has to watch the pool.
install -D -m 0644 "$(dirname "$0")/docker-thinpool.profile" /etc/lvm/profile/docker-thinpool.profile
lvchange --metadataprofile docker-thinpool docker/thinpool
lvchange --monitor y docker/thinpool

# "monitored" has to stand in the last column.
lvs -o +seg_monitor docker/thinpool
