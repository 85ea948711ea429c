#!/bin/sh
# How full the thin pools of this host are, one sample a call, for `lab forecast RECORDING`.
#
#   from cron, as root:   */10 * * * *  root  sh /root/collect.sh -o /var/log/thin-pool.log
#   in a loop:            sh collect.sh -e 600 -o thin-pool.log      (-e: seconds between samples)
#   one sample, to see:   sh collect.sh
#
# It only reads: dmsetup, lvs and docker are asked for their state, whichever of them exist, and what they
# print is kept as it is.  `docker info` tells the host's name and its proxies: look before you hand a log on.
# For POSIX sh (dash, busybox).
set -u
LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin # cron's is short
export LC_ALL PATH

usage() {
    printf '%s\n' "usage: collect.sh [-e SECONDS] [-o FILE]" >&2
    exit 2
}

every=
file=
while getopts e:o: option; do
    case $option in
        e) every=$OPTARG ;;
        o) file=$OPTARG ;;
        *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 0 ] || usage
case $every in
    *[!0-9]*|0*) printf '%s\n' "collect.sh: -e takes whole seconds, not '$every'" >&2; exit 2 ;;
esac

limit= # a daemon whose pool is full may never answer
timeout 60 date >/dev/null 2>&1 && limit='timeout 60' # old busybox: timeout -t 60

ask() {
    command -v "$1" >/dev/null 2>&1 || return 0
    printf '%s\n' "--- $*"
    said=$($limit "$@" 2>/dev/null </dev/null)
    status=$?
    printf '%s\n' "$said" "--- status $status"
}

# The whole sample in one piece with its checksum, so that a half-written one is known for what it is.
# --noflush: without it, asking for the status makes the pool commit its metadata.
sample() {
    body=$(
        printf '%s\n' "=== lab-observed 1 $(date -u +%Y-%m-%dT%H:%M:%SZ)"
        ask dmsetup status --noflush --target thin-pool
        ask lvs --reportformat json --units b -o vg_name,lv_name,lv_attr,lv_size,lv_metadata_size,chunk_size,data_percent,metadata_percent
        ask docker info
    )
    printf '%s\n' "$body" "=== end $(printf '%s\n' "$body" | cksum 2>/dev/null)"
}

while :; do
    if [ -n "$file" ]; then
        sample >>"$file" || exit 3
    else
        sample
    fi
    [ -n "$every" ] || exit 0
    sleep "$every"
done
