#!/bin/bash
# usage: thin-dump.sh POOL
# The mappings of a pool in use, from a metadata snapshot.
set -e
metadata=/dev/block/$(dmsetup table "$1" | awk '{print $4}')
dmsetup message "$1" 0 reserve_metadata_snap
trap 'dmsetup message "$1" 0 release_metadata_snap' EXIT
thin_dump -m "$metadata"
