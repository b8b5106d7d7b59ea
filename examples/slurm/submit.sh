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
mkdir -p "$OUT"

# Two submissions of one OUT would run every part twice.
exec 9> "$OUT/.submitting"
flock -n 9 || { echo "submit.sh: another submit.sh works on $OUT" >&2; exit 1; }
if [ -s "$OUT/.jobs" ] && [ -n "$(squeue --noheader --jobs "$(paste -sd, "$OUT/.jobs")" 2> /dev/null)" ]; then
    echo "submit.sh: jobs of $OUT are still queued ($(paste -sd, "$OUT/.jobs")); wait for them, or scancel them" >&2
    exit 1
fi
: > "$OUT/.jobs"

queue() { # queue "JOB JOB" STAGE OPTIONS...: submit a job after others, and print its ID
    local waits stage=$2 id
    waits=$(printf ':%s' $1)
    shift 2
    [ "$waits" = : ] || set -- "--dependency=afterok$waits" "$@"
    id=$(sbatch --parsable --kill-on-invalid-dep=yes --export=ALL $SBATCH_OPTIONS "$@" "$here/$stage.sbatch")
    echo "${id%%;*}" | tee -a "$OUT/.jobs"
}
task=(--cpus-per-task="$CPUS" --time="$TASK_TIME" ${TASK_GRES:+--gres="$TASK_GRES"})
training=(--nodes="$NODES" --cpus-per-task="$TRAIN_CPUS" --time="$TRAIN_TIME" ${TASK_GRES:+--gres="gpu:$GPUS"})
limit=$(scontrol show config | sed -n 's/^MaxArraySize *= *//p')
queue_parts() { # queue_parts "JOB JOB" STAGE --array=0,3,5-7: as many arrays as MaxArraySize needs; print their IDs
    echo "${3#--array=}" | tr , '\n' | awk -F- -v limit="${limit:-1001}" '
        { for (part = $1; part <= ($2 == "" ? $1 : $2); part++) {
            first = part - part % limit
            if (first in tasks) tasks[first] = tasks[first] "," part - first
            else { tasks[first] = part - first; order[++count] = first }
        } }
        END { for (i = 1; i <= count; i++) print order[i], tasks[order[i]] }' |
        while read -r first tasks; do
            FIRST_PART=$first queue "$1" "$2" "${task[@]}" --array="$tasks" < /dev/null
        done | paste -sd' '
}
whole=--array=0-$((PARTS - 1))

# Ask every stage for its missing parts before anything is queued. What waits for an unfinished stage runs whole.
dedup=$whole filter=$whole segment=
indexed() { [ -z "$MEDIA" ] || [ -e "$CRAWL/records.done.json" ]; } # index writes that file last
if indexed; then
    if [ -e "$OUT/val.features.jsonl" ]; then dedup=$(bash "$here/dedup.sbatch" --missing); fi
    if [ -z "$dedup" ] && [ -e "$TEACHER" ]; then filter=$(bash "$here/filter.sbatch" --missing); fi
fi
if [ -e "$LONG" ]; then
    segment=$whole
    if [ -e "$TEACHER" ]; then segment=$(bash "$here/segment.sbatch" --missing); fi
fi
mkdir -p "$OUT"/{unique,duplicates,kept,rejects,segments,segments.rejects,packed/kept,packed/segments}

index= features= teacher= packed=
if ! indexed; then index=$(queue "" index "${task[@]}"); fi
if [ ! -e "$OUT/val.features.jsonl" ]; then features=$(queue "" features "${task[@]}"); fi
if [ ! -e "$TEACHER" ]; then teacher=$(queue "" teacher "${training[@]}"); fi
dedup=${dedup:+$(queue_parts "$index $features" dedup "$dedup")}
filter=${filter:+$(queue_parts "$dedup $teacher" filter "$filter")}
segment=${segment:+$(queue_parts "$teacher" segment "$segment")}
if [ -n "$PACK" ]; then
    packed=$(NAME=kept queue_parts "$filter" pack "$whole")
    if [ -e "$LONG" ]; then packed+=" $(NAME=segments queue_parts "$segment" pack "$whole")"; fi
fi
balance=$(queue "$filter $segment $packed" balance --time="$TASK_TIME")
student=
if [ ! -e "$STUDENT" ]; then student=$(queue "$balance" train "${training[@]}"); fi
queue "$student $balance $teacher" eval "${task[@]}" > /dev/null
