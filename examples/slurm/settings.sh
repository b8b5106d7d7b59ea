# What all jobs share; read by each of them. Every value can be given in the environment of submit.sh.
# -o DIR/ deals out whole files: a crawl needs several times as many files as there are shards.
: "${OUT:=$PWD/out}" "${SHARDS:=64}"
: "${CRAWL:=$OUT/crawl}"          # a folder of .jsonl, .tar or .h5 files
: "${LONG:=$OUT/long}"            # the same, of long videos; may be absent
: "${TRAIN:=$OUT/train.jsonl}"    # labelled records
: "${VAL:=$OUT/val.jsonl}"        # labelled records; or their omni features --shards, made once and not by each task
: "${DEDUP_MODEL:=}"              # of dedup: ImageNet's ResNet-50, downloaded; or such as --weights r50.pth, --checkpoint tsn.pth
# a 3D teacher and student learn from videos; a crawl of images needs a 2D teacher, such as of tsn-r50-3seg
: "${TEACHER:=$OUT/teacher.pth}" "${RECIPE:=slowonly-r50-4x16}"
: "${STUDENT:=$OUT/student.pth}" "${GPUS:=8}"
export OUT SHARDS CRAWL LONG VAL TRAIN TEACHER RECIPE STUDENT GPUS DEDUP_MODEL

# Ask for what is missing (bash STAGE.sbatch --missing), or run this task's share, and queue again if time runs out.
run_share() { # run_share missing? omni STAGE ...
    local missing=$1
    shift
    if [ "$missing" = --missing ]; then
        exec "$@" --missing --shards-total "$SHARDS"
    fi
    local asked='' stage='' code=0
    trap 'asked=1; [ -z "$stage" ] || kill -TERM "$stage" 2>/dev/null || true' USR1
    "$@" --shard "$SLURM_ARRAY_TASK_ID/$SHARDS" &
    stage=$!
    if [ -n "$asked" ]; then kill -TERM "$stage"; fi # it came before there was anything to stop
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
