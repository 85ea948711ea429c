#!/bin/bash
# usage: stop-trace.sh FOLDER FORMAT
# Ends the block trace and prints it through blkparse.
systemctl kill -s INT lab-trace.service
while systemctl is-active -q lab-trace.service; do sleep 0.2; done
TZ=UTC blkparse -q -D "$1" -i trace -a queue -f "$2" -o "$1/blkparse.txt" >/dev/null   # it names its files there
cat "$1/blkparse.txt"
rm -rf "$1"
