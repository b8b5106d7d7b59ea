#!/usr/bin/env bash
# Everything in order, and only what is missing: run it again whenever something failed.
#
#     OUT=/scratch/me/omni SHARDS=64 TEACHER=slowonly.pth bash examples/slurm/submit.sh
#
# settings.sh says what has to lie where. Without long videos ($LONG) there is no segment job.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export SETTINGS=$here/settings.sh
. "$SETTINGS"
mkdir -p "$OUT"/{fair,copies,kept,left,pieces,doubted}
whole=--array=0-$((SHARDS - 1))
submit() { sbatch --parsable --export=ALL "$@"; }
after() { # afterok of the ids that are none of them empty
    local ids
    ids=$(printf ':%s' "$@" | tr -s ':')
    [ "$ids" = : ] || echo "--dependency=afterok${ids%:}"
}

# what is missing, of all stages, before anything is queued
dedup=$(bash "$here/dedup.sbatch" --missing)
if [ -n "$dedup" ]; then filter=$whole; else filter=$(bash "$here/filter.sbatch" --missing); fi
segment=
if [ -e "$LONG" ]; then segment=$(bash "$here/segment.sbatch" --missing); fi

dedup=${dedup:+$(submit "$dedup" "$here/dedup.sbatch")}
filter=${filter:+$(submit "$filter" $(after "$dedup") "$here/filter.sbatch")}
segment=${segment:+$(submit "$segment" "$here/segment.sbatch")}
balance=$(submit $(after "$filter" "$segment") "$here/balance.sbatch")
if [ ! -e "$STUDENT" ]; then submit $(after "$balance") "$here/train.sbatch"; fi
