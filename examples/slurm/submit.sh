#!/usr/bin/env bash
# Submit all stages in order, and only their missing parts. Run it again after a failure.
#
#     OUT=/scratch/me/omni PARTS=64 TEACHER=slowonly.pth bash examples/slurm/submit.sh
#
# settings.sh documents the inputs. Without long videos ($LONG) there is no segment job.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export SETTINGS=$here/settings.sh
. "$SETTINGS"
mkdir -p "$OUT"/{unique,duplicates,kept,rejects,segments,segments.rejects}
whole=--array=0-$((PARTS - 1))
submit() { sbatch --parsable --export=ALL "$@"; }
after() { # a dependency on the jobs with the given ids; empty ids are ignored
    local ids
    ids=$(printf ':%s' "$@" | tr -s ':')
    [ "$ids" = : ] || echo "--dependency=afterok${ids%:}"
}

# ask every stage for its missing parts before anything is queued
dedup=$(bash "$here/dedup.sbatch" --missing)
if [ -n "$dedup" ]; then filter=$whole; else filter=$(bash "$here/filter.sbatch" --missing); fi
segment=
if [ -e "$LONG" ]; then segment=$(bash "$here/segment.sbatch" --missing); fi

dedup=${dedup:+$(submit "$dedup" "$here/dedup.sbatch")}
filter=${filter:+$(submit "$filter" $(after "$dedup") "$here/filter.sbatch")}
segment=${segment:+$(submit "$segment" "$here/segment.sbatch")}
balance=$(submit $(after "$filter" "$segment") "$here/balance.sbatch")
if [ ! -e "$STUDENT" ]; then submit $(after "$balance") "$here/train.sbatch"; fi
