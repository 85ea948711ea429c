#!/bin/bash
# usage: stop-trace.sh FOLDER DEVICE FORMAT
# Ends the block trace and prints it through blkparse.  blkparse's times count from the first event, whose time nobody
# knows; so the last event is a read of ours, and the first line says when it was made.
set -e
date '+marker %s.%N'
dd "if=$2" of=/dev/null bs=4096 count=1 iflag=direct status=none
systemctl kill -s INT lab-trace.service
while systemctl is-active -q lab-trace.service; do sleep 0.2; done
blkparse -q -D "$1" -i trace -a queue -f "$3" -o "$1/blkparse.txt" >/dev/null   # it names its files there
cat "$1/blkparse.txt"
rm -rf "$1"
