#!/bin/busybox sh
# The init of the initrd that makes the lab's box, unchanged, a guest of user-mode Linux: its disks are ubd, its network
# card is vec0, and the modules of its kernel lie on the host.  The box's own init takes over at the end.
b=/bin/busybox
fail() { echo "uml-init: $1" >/dev/console; $b poweroff -f; }
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
$b mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run
for word in $($b cat /proc/cmdline); do
    case $word in lab.disks=*) disks=${word#*=} ;; esac
done
$b mount -t ext4 -o rw /dev/ubda1 /root || fail 'the root disk cannot be mounted'
modules=/root/lib/modules/$($b uname -r)
$b mkdir -p "$modules"
$b mount -t hostfs -o ro none "$modules" || fail 'the modules of the kernel cannot be mounted'
$b mkdir -p /run/systemd/network /run/udev/rules.d
$b printf '[Match]\nName=vec0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n' \
    >/run/systemd/network/10-vec0.network
# The names and serial numbers that the disks have on QEMU, by the order in which they are given
letters=abcdefgh
for disk in $(echo "$disks" | $b tr , ' '); do
    letter=${letters%"${letters#?}"} letters=${letters#?}
    echo "KERNEL==\"ubd$letter*\", ENV{ID_SERIAL}=\"$disk\", ENV{ID_SERIAL_SHORT}=\"$disk\""
    echo "KERNEL==\"ubd$letter\", SYMLINK+=\"disk/by-id/virtio-$disk\""
    echo "KERNEL==\"ubd${letter}[0-9]*\", SYMLINK+=\"disk/by-id/virtio-$disk-part%n\""
done >/run/udev/rules.d/60-lab.rules
$b umount /proc
$b mount --move /dev /root/dev
$b mount --move /run /root/run
exec $b switch_root /root /sbin/init
