#!/usr/bin/env bash
# Everything in order, and only what is missing: run it again whenever something failed.
#
#     OUT=/scratch/me/omni SHARDS=64 TEACHER=slowonly.pth bash examples/slurm/submit.sh
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

dedup=$(bash "$here/dedup.sbatch" --missing)
dedup=${dedup:+$(submit "$dedup" "$here/dedup.sbatch")}
if [ -n "$dedup" ]; then filter=$whole; else filter=$(bash "$here/filter.sbatch" --missing); fi
filter=${filter:+$(submit "$filter" $(after "$dedup") "$here/filter.sbatch")}
segment=$(bash "$here/segment.sbatch" --missing)
segment=${segment:+$(submit "$segment" "$here/segment.sbatch")}
balance=$(submit $(after "$filter" "$segment") "$here/balance.sbatch")
if [ ! -e "$STUDENT" ]; then submit $(after "$balance") "$here/train.sbatch"; fi
