#!/bin/bash
# Builds the box of the lab: Debian 12 with Docker, LVM and fio, from Debian's packages.
#
#   build-box.sh OUT.box     build it into that file
#   build-box.sh --install   build it into the cache unless it is there, and add it to Vagrant
#   build-box.sh --hash      print the digest of what makes the box; builds nothing
#   build-box.sh --name      print the box's name, thinpool-lab-<digest>
#
# No loop device, no mount, no VM.  Run as root, or as a user who may use sudo: then mmdebstrap,
# the commands that read or remove its tree, and nothing else, run through sudo.
#
# Environment:
#   SUITE          Debian release, bookworm
#   MIRROR         a mirror's URL or a file of apt sources; unset: mmdebstrap's default, which
#                  has the security updates too
#   BOX_DISK_GIB   virtual size of the root disk, 20
#   TMPDIR         where to work, /var/tmp; --install works in the cache
#   XDG_CACHE_HOME the cache is $XDG_CACHE_HOME/thinpool-lab/boxes, by default ~/.cache/...
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
suite=${SUITE:-bookworm} mirror=${MIRROR:-} gib=${BOX_DISK_GIB:-20}
PATH=$PATH:/usr/sbin:/sbin

say() { printf '%(%T)T +%ss %s\n' -1 "$SECONDS" "$*" >&2; }
die() { printf 'build-box.sh: %s\n' "$*" >&2; exit 3; }
usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

# The digest covers the files that make the box and the settings that change it.
digest() {
    { cat "$here/build-box.sh" "$here/build-images.py"
      printf 'suite=%s mirror=%s gib=%s\n' "$suite" "$mirror" "$gib"; } | sha256sum | cut -c1-12
}

# Files of a directory tree of root's need root; everything else is the caller's.
as_root() { if [ "$EUID" = 0 ]; then "$@"; else sudo "$@"; fi; }

need_tools() {
    local missing=() tool package
    while read -r tool package; do
        command -v "$tool" >/dev/null || missing+=("$package")
    done <<'T'
mmdebstrap mmdebstrap
mke2fs e2fsprogs
sfdisk fdisk
grub-mkimage grub-common
qemu-img qemu-utils
python3 python3
flock util-linux
T
    [ -e /usr/lib/grub/i386-pc/boot.img ] || missing+=(grub-pc-bin)
    [ "$EUID" = 0 ] || command -v sudo >/dev/null || missing+=(sudo)
    [ "${#missing[@]}" = 0 ] || die "missing tools: apt-get install ${missing[*]}"
}

need_space() {                                 # need_space DIRECTORY GIB WHAT
    local free
    free=$(df -P -k "$1" | awk 'NR == 2 { print int($4 / 1024 / 1024) }')
    [ "$free" -ge "$2" ] || die "$3 needs about $2 GiB in $1, which has $free GiB free"
}

# ---- the file system's contents ---------------------------------------------------------------

packages=(
    linux-image-amd64 systemd-sysv udev dbus kmod openssh-server iproute2 sudo ca-certificates
    docker.io apparmor docker-registry
    lvm2 thin-provisioning-tools e2fsprogs xfsprogs btrfs-progs util-linux nfs-kernel-server
    fio sysbench blktrace
    python3 busybox-static rsync procps
)
# Documents, and modules for hardware that no virtual machine has
excluded=(
    /usr/share/man /usr/share/doc /usr/share/locale /usr/share/info /usr/share/lintian
    /usr/share/fonts /usr/share/icons
    '/lib/modules/*/kernel/sound'
    '/lib/modules/*/kernel/drivers/'{gpu,media,infiniband,iio,staging,isdn,bluetooth,hwmon,thunderbolt}
    '/lib/modules/*/kernel/net/'{wireless,mac80211,bluetooth,nfc,can}
    '/lib/modules/*/kernel/drivers/net/'{wireless,can,wwan,ethernet/mellanox,ethernet/chelsio}
)

write_hooks() {                                # write_hooks DIRECTORY
    cat >"$1/setup" <<'C'
set -eu; r=$1
mkdir -p "$r/etc/initramfs-tools/conf.d" "$r/usr/share/initramfs-tools/modules.d"
printf 'MODULES=list\nCOMPRESS=zstd\n' >"$r/etc/initramfs-tools/conf.d/zz-box"
printf '%s\n' virtio_pci virtio_blk virtio_scsi sd_mod ahci ata_piix ext4 crc32c_generic \
    >"$r/usr/share/initramfs-tools/modules.d/box"
C
    cat >"$1/customize" <<'C'
set -eu; r=$1
chroot "$r" useradd -m -s /bin/bash -G sudo,docker vagrant
echo 'vagrant:vagrant' | chroot "$r" chpasswd
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$r/etc/sudoers.d/vagrant"; chmod 0440 "$r/etc/sudoers.d/vagrant"

# Vagrant's well-known public key.  The machine answers on the host's loopback only, and
# LAB_INSERT_KEY=1 has Vagrant replace the key.
install -d -m 0700 "$r/home/vagrant/.ssh"
echo "$VAGRANT_KEY" >"$r/home/vagrant/.ssh/authorized_keys"
chmod 0600 "$r/home/vagrant/.ssh/authorized_keys"
chroot "$r" chown -R vagrant:vagrant /home/vagrant/.ssh

# Host keys are made at the first boot, so that no two machines share them.  ECDSA and Ed25519
# only: `ssh-keygen -A` would add an RSA key, which takes long under emulation.
rm -f "$r"/etc/ssh/ssh_host_*
printf '%s\n' 'UseDNS no' 'MaxSessions 64' 'HostKey /etc/ssh/ssh_host_ecdsa_key' 'HostKey /etc/ssh/ssh_host_ed25519_key' \
    >"$r/etc/ssh/sshd_config.d/box.conf"
cat >"$r/etc/systemd/system/ssh-host-keys.service" <<'U'
[Unit]
Description=Host keys of this machine
DefaultDependencies=no
After=local-fs.target systemd-random-seed.service
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/bin/sh -ec 'rm -f /etc/ssh/ssh_host_*; for t in ecdsa ed25519; do ssh-keygen -q -t $t -N "" -f /etc/ssh/ssh_host_$${t}_key; done'

[Install]
WantedBy=multi-user.target
U
chroot "$r" systemctl enable --quiet ssh-host-keys.service

# A user who may sudo finds the administrator's commands without a path
echo 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' >"$r/etc/profile.d/sbin.sh"
echo 'SetEnv PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' >>"$r/etc/ssh/sshd_config.d/box.conf"

echo debian >"$r/etc/hostname"; printf '127.0.0.1 localhost\n127.0.1.1 debian\n' >"$r/etc/hosts"
printf '[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n' \
    >"$r/etc/systemd/network/10-eth0.network"
chroot "$r" systemctl enable --quiet systemd-networkd.service
chroot "$r" systemctl disable --quiet systemd-networkd-wait-online.service
printf 'LABEL=vgroot / ext4 defaults,errors=remount-ro 0 1\n' >"$r/etc/fstab"
: >"$r/etc/resolv.conf"; : >"$r/etc/machine-id"; rm -f "$r/var/lib/dbus/machine-id"

# Nothing that the lab starts itself starts by itself: the storage driver is chosen first.
for unit in docker.service docker.socket containerd.service docker-registry.service \
    nfs-server.service nfs-client.target nfs-blkmap.service rpcbind.service rpcbind.socket \
    remote-fs.target; do
    chroot "$r" systemctl disable --quiet "$unit"
done
# Timers would disturb measurements; user@1000 costs seconds at the first login.
chroot "$r" systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-tmpfiles-clean.timer user@1000.service \
    getty@tty1.service serial-getty@ttyS0.service

mkdir -p "$r/boot/grub/i386-pc"
cp /usr/lib/grub/i386-pc/*.mod /usr/lib/grub/i386-pc/*.lst "$r/boot/grub/i386-pc/"
cat >"$r/boot/grub/grub.cfg" <<'G'
linux  /vmlinuz root=LABEL=vgroot rw net.ifnames=0 console=tty0 console=ttyS0,115200 quiet mitigations=off no5lvl
initrd /initrd.img
boot
G
C
}

# ---- the build --------------------------------------------------------------------------------

clean() {                                      # the tree is root's
    if [ -d "$1/root" ]; then as_root rm -rf --one-file-system "$1/root"; fi
    rm -rf "$1"
}

build() {                                      # build OUT.box DIRECTORY_TO_WORK_IN
    local out=$1 work r img joined options=() path
    need_tools
    need_space "$2" 4 'building the box'
    need_space "$(dirname "$out")" 1 'the box'
    work=$(mktemp -d "$2/box.XXXXXX")
    # shellcheck disable=SC2064
    trap "clean '$work'" EXIT
    trap 'exit 130' INT; trap 'exit 143' TERM
    chmod 0755 "$work"
    r=$work/root
    write_hooks "$work"

    say "box $(digest): installing Debian $suite (${#packages[@]} packages and what they need)"
    for path in "${excluded[@]}"; do options+=(--dpkgopt="path-exclude=$path/*"); done
    joined=$(IFS=,; echo "${packages[*]}")
    as_root env VAGRANT_KEY="$vagrant_key" mmdebstrap --quiet --mode=root --variant=minbase --format=directory \
        --include="$joined" --aptopt='Apt::Install-Recommends "false"' "${options[@]}" \
        --setup-hook="sh '$work/setup' \"\$1\"" --customize-hook="sh '$work/customize' \"\$1\"" \
        "$suite" "$r" ${mirror:+"$mirror"}

    say "container images"
    as_root python3 "$here/build-images.py" "$r/opt/lab/images" --busybox "$r/bin/busybox"
    say "root file system: $(as_root du -sh "$r" | cut -f1)"
    as_root cat "$r/vmlinuz" >"$work/vmlinuz"
    as_root cat "$r/initrd.img" >"$work/initrd.img"

    # MBR, GRUB's core image in the gap behind it, ext4 filled by mke2fs.  The inode tables are
    # written here, or the guest would do it in the background while it measures.
    img=$work/disk.raw
    truncate -s "${gib}G" "$img"
    printf 'label: dos\nstart=2048, type=83, bootable\n' | sfdisk -q "$img"
    as_root mke2fs -q -F -t ext4 -L vgroot -O ^metadata_csum_seed,^orphan_file \
        -E offset=1048576,nodiscard,lazy_itable_init=0,lazy_journal_init=0 \
        -d "$r" "$img" "$((gib * 1024 * 1024 - 1024))k"
    grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o "$work/core.img" biosdisk part_msdos ext2 linux normal
    [ "$(stat -c %s "$work/core.img")" -lt $((2047 * 512)) ] || die "GRUB's core image does not fit"
    dd if=/usr/lib/grub/i386-pc/boot.img of="$img" bs=440 count=1 conv=notrunc status=none
    dd if="$work/core.img" of="$img" bs=512 seek=1 conv=notrunc status=none

    say "compressing the disk, $(du -sh "$img" | cut -f1)"
    qemu-img convert -O qcow2 -c -o compression_type=zstd -W -m 4 "$img" "$work/box.img"
    printf '{"provider":"libvirt","format":"qcow2","virtual_size":%s}\n' "$gib" >"$work/metadata.json"
    printf "Vagrant.configure('2') do |config|\n  config.vm.synced_folder '.', '/vagrant', disabled: true\nend\n" \
        >"$work/Vagrantfile"
    tar -C "$work" -cf "$out.part" metadata.json Vagrantfile box.img vmlinuz initrd.img
    mv "$out.part" "$out"
    say "done: $out, $(du -sh "$out" | cut -f1)"
}

# Not where the caller is: Vagrant would load a Vagrantfile there and leave a .vagrant beside it.
boxes() { (cd "$cache" && vagrant box "$@"); }
installed() { boxes list --machine-readable | grep ",box-name,$1\$" >/dev/null; }

install_box() {
    local name cache box old
    name=thinpool-lab-$(digest)
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/thinpool-lab/boxes
    box=$cache/$name.box
    mkdir -p "$cache"
    command -v vagrant >/dev/null || die 'missing tools: apt-get install vagrant'
    if installed "$name"; then say "$name is installed"; return; fi

    exec 9>"$cache/lock"
    flock -n 9 || { say 'waiting for another build of the box'; flock 9; }
    if installed "$name"; then say "$name is installed"; return; fi
    for old in "$cache"/box.??????; do         # of a build that was killed
        if [ -d "$old" ]; then clean "$old"; fi
    done
    rm -f "$cache"/*.part

    if [ -e "$box" ]; then say "$box is built"; else build "$box" "$cache"; fi
    mkdir -p "${VAGRANT_HOME:-$HOME/.vagrant.d}"
    need_space "${VAGRANT_HOME:-$HOME/.vagrant.d}" 2 'adding the box to Vagrant'
    say "adding $name to Vagrant"
    boxes add --no-tty --name "$name" "$box" | tr '\r' '\n' | { grep -v -e Rate: -e '^$' || true; } >&2
    say "$name is installed"
    for old in "$cache"/thinpool-lab-*.box; do
        [ "$old" = "$box" ] || say "of another version, remove it if nothing uses it: $old and" \
            "\`vagrant box remove $(basename "$old" .box)\`"
    done
}

vagrant_key='ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ== vagrant insecure public key'

case ${1:-} in
    --hash) digest ;;
    --name) echo "thinpool-lab-$(digest)" ;;
    --install) install_box ;;
    -h | --help) usage ;;
    '' | -*) usage >&2; exit 2 ;;
    *) out=$(realpath -m "$1"); mkdir -p "$(dirname "$out")"; build "$out" "${TMPDIR:-/var/tmp}" ;;
esac
