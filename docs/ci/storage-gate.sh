#!/usr/bin/env bash
# Measures a candidate against a baseline in turns, and asks the gate, as often as its rules have it at most.
#
#   storage-gate.sh CANDIDATE.yaml BASELINE.yaml FOLDER [options of lab gate, as in --rules rules.yaml]
#
# FOLDER/run is the run, which goes on where it stopped; FOLDER/gate.xml is JUnit, FOLDER/gate.md the report.
# Ends with the gate's code: 0 no regression, 1 a regression, 2 bad input, 3 the machine cannot do it, 4 inconclusive,
# 70 a fault of the lab.  A 1 without a report is none of the gate's, and ends with 70.
#
# Environment:
#   LAB         the command, lab
#   SELF_TEST   what `lab gate --self-test -o` stored: the report then says what the verdict is worth
set -euo pipefail

[ "$#" -ge 3 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
lab=${LAB:-lab} candidate=$1 baseline=$2 folder=$3
shift 3
if [ -n "${SELF_TEST:-}" ]; then
    [ -f "$SELF_TEST" ] || { echo "storage-gate.sh: SELF_TEST is $SELF_TEST, and there is no such file" >&2; exit 2; }
    set -- "$@" --self-test-result "$SELF_TEST"
fi
mkdir -p "$folder/run"

looks=$("$lab" gate --looks "$@")       # of --rules, where it is among the options
status=4
for repetitions in $looks; do
    measured=0
    "$lab" run "$candidate" --against "$baseline" --resume "$folder/run" --repetitions "$repetitions" || measured=$?
    [ "$measured" -le 1 ] || exit "$measured"       # 1: a cell failed, and the gate says what follows
    status=0
    rm -f "$folder/gate.xml" "$folder/gate.md"      # those of an earlier look say nothing of this one
    env -u GITHUB_STEP_SUMMARY "$lab" gate "$folder/run" --junit "$folder/gate.xml" --markdown "$folder/gate.md" "$@" ||
        status=$?
    if [ "$status" = 1 ] && [ ! -f "$folder/gate.md" ]; then
        echo "storage-gate.sh: lab gate ended with 1 and wrote no report: that is no answer" >&2
        exit 70
    fi
    [ "$status" = 4 ] || break
done

# Once, and not at every look.
if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -f "$folder/gate.md" ]; then
    cat "$folder/gate.md" >>"$GITHUB_STEP_SUMMARY"
fi
exit "$status"
