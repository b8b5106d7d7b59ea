# Settings that all jobs share. Every variable can be set in the environment of submit.sh.
# -o DIR/ processes whole files: a crawl needs several times as many files as PARTS.
: "${OUT:=$PWD/out}" "${PARTS:=64}"
: "${CRAWL:=$OUT/crawl}"          # folder of .jsonl, .tar or .h5 files
: "${LONG:=$OUT/long}"            # the same for long videos; optional
: "${TRAIN:=$OUT/train.jsonl}"    # labelled records
: "${VAL:=$OUT/val.jsonl}"        # labelled records, or a folder of their features (omni features --shards)
: "${DEDUP_MODEL:=}"              # --weights r50.pth or --checkpoint tsn.pth; default: download a ResNet-50
# A 3D teacher and student need videos. A crawl of images needs a 2D teacher, such as one of the recipe tsn-r50-3seg.
: "${TEACHER:=$OUT/teacher.pth}" "${RECIPE:=slowonly-r50-4x16}"
: "${STUDENT:=$OUT/student.pth}" "${GPUS:=8}"
export OUT PARTS CRAWL LONG VAL TRAIN TEACHER RECIPE STUDENT GPUS DEDUP_MODEL

# With --missing: print the unfinished parts (bash STAGE.sbatch --missing). Else: run the part of this task, and requeue
# the task if its time runs out.
run_part() { # run_part [--missing] omni STAGE ...
    local missing=$1
    shift
    if [ "$missing" = --missing ]; then
        exec "$@" --missing --parts "$PARTS"
    fi
    local asked='' stage='' code=0
    trap 'asked=1; [ -z "$stage" ] || kill -TERM "$stage" 2>/dev/null || true' USR1
    "$@" --part "$SLURM_ARRAY_TASK_ID/$PARTS" &
    stage=$!
    if [ -n "$asked" ]; then kill -TERM "$stage"; fi # the signal came before the stage started
    wait "$stage" || code=$?
    if [ -n "$asked" ]; then # the signal ended the first wait
        code=0
        wait "$stage" || code=$?
    fi
    if [ "$code" -ne 0 ] && [ -n "$asked" ]; then
        scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
    fi
    return "$code"
}
