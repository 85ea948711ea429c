#!/bin/bash
# Runs a command and reports on standard error when it began and ended, by the machine's own clock.
began=$EPOCHREALTIME
"$@"
status=$?
printf 'timed: %s %s\n' "$began" "$EPOCHREALTIME" >&2
exit $status
