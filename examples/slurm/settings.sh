# Settings that all jobs share. Every variable can be set in the environment of submit.sh, and reaches every job.
: "${OUT:=$PWD/out}" "${PARTS:=64}" # -o DIR/ processes whole files: a crawl needs several times as many files as PARTS

# Inputs
: "${MEDIA:=}"                    # folders or tars of a crawl that is not indexed yet; then CRAWL is written
: "${CRAWL:=$OUT/crawl}"          # folder of .jsonl, .tar or .h5 files
: "${LONG:=$OUT/long}"            # the same for long videos; optional
: "${TRAIN:=$OUT/train.jsonl}"    # labelled records
: "${VAL:=$OUT/val.jsonl}"        # labelled records
: "${TEACHER:=$OUT/teacher.pth}"  # is trained on TRAIN if it does not exist
: "${STUDENT:=$OUT/student.pth}"

# Arguments of the stages. A 3D teacher and student need videos; a crawl of images needs a 2D teacher (tsn-r50-3seg).
: "${RECIPE:=slowonly-r50-4x16}"
: "${INDEX_OPTIONS:=}" "${DEDUP_MODEL:=}" # DEDUP_MODEL: --weights r50.pth or --checkpoint tsn.pth; default: downloaded
: "${DEDUP_OPTIONS:=}" "${FILTER_OPTIONS:=--rule paper --threshold 0.5}" "${SEGMENT_OPTIONS:=--rule paper --threshold 0.5}"
: "${BALANCE_OPTIONS:=--power 0.2}" "${PACK:=}" "${PACK_OPTIONS:=}" # PACK=1: store decoded frames before training
: "${INFLATE_OPTIONS:=}"          # such as --mode perspective-agnostic: images become clips, for a 3D student
: "${TEACHER_OPTIONS:=}" "${STUDENT_OPTIONS:=}" "${EVAL_OPTIONS:=}"

# Resources
: "${TASK_GRES=gpu:1}" "${CPUS:=8}" "${TASK_TIME:=04:00:00}"           # of one task of an array; TASK_GRES= for CPUs
: "${NODES:=2}" "${GPUS:=8}" "${TRAIN_CPUS:=64}" "${TRAIN_TIME:=24:00:00}" # of training, per node
: "${SBATCH_OPTIONS:=}"           # of every job, such as --account=me --partition=gpu
: "${PROLOGUE:=}"                 # shell code that each job runs first: module load cuda; . ~/env/bin/activate
: "${FIRST_PART:=0}"              # of this array: an array longer than MaxArraySize is submitted in several
export OUT PARTS MEDIA CRAWL LONG TRAIN VAL TEACHER STUDENT RECIPE INDEX_OPTIONS DEDUP_MODEL DEDUP_OPTIONS FILTER_OPTIONS \
    SEGMENT_OPTIONS BALANCE_OPTIONS PACK PACK_OPTIONS INFLATE_OPTIONS TEACHER_OPTIONS STUDENT_OPTIONS EVAL_OPTIONS \
    TASK_GRES CPUS TASK_TIME NODES GPUS TRAIN_CPUS TRAIN_TIME SBATCH_OPTIONS PROLOGUE FIRST_PART

if [ -n "${SLURM_JOB_ID:-}" ]; then eval "$PROLOGUE"; fi

# Run "$@" in the background; on USR1, five minutes before the time limit, pass SIGNAL on, and requeue JOB if it stopped.
# Exit code: that of the command, or 0 if FILE exists, whatever the command says (torchrun exits with 1 in any case).
requeued() { # requeued SIGNAL JOB FILE COMMAND...
    local signal=$1 job=$2 file=$3 asked='' stage='' code=0
    shift 3
    trap 'asked=1; [ -z "$stage" ] || kill -"$signal" "$stage" 2>/dev/null || true' USR1
    "$@" &
    stage=$!
    if [ -n "$asked" ]; then kill -"$signal" "$stage"; fi # the signal came before the stage started
    wait "$stage" || code=$?
    if [ -n "$asked" ]; then # the signal ended the first wait
        code=0
        wait "$stage" || code=$?
    fi
    if [ -n "$file" ] && [ -e "$file" ]; then return 0; fi
    if [ "$code" -ne 0 ] && [ -n "$asked" ]; then scontrol requeue "$job"; fi
    return "$code"
}

# With --missing: print the unfinished parts (bash STAGE.sbatch --missing). Else: run the part of this task.
run_part() { # run_part [--missing] omni STAGE ...
    local missing=$1
    shift
    if [ "$missing" = --missing ]; then
        exec "$@" --missing --parts "$PARTS"
    fi
    requeued TERM "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" '' \
        "$@" --part "$((FIRST_PART + SLURM_ARRAY_TASK_ID))/$PARTS"
}

# Train on all GPUs of all nodes of the job, and continue in the next allocation until OUTPUT exists.
# --signals-to-handle needs a newer torchrun than that of PyTorch 2.6.
run_training() { # run_training OUTPUT METRICS omnicli arguments...
    local output=$1 metrics=$2 hosts
    shift 2
    hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
    requeued USR1 "$SLURM_JOB_ID" "$output" \
        srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node "$GPUS" --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID" \
        --rdzv-endpoint "${hosts%%$'\n'*}:29500" --signals-to-handle SIGTERM,SIGUSR1 --max-restarts 3 \
        -m omnicli "$@" -o "$output" > "$metrics"
}

records() { find "$1" \( -name '[!.]*.jsonl' -o -name '[!.]*.jsonl.gz' -o -name '[!.]*.jsonl.zst' \) | sort; }
kept() { if [ -n "$PACK" ]; then echo "$OUT/packed/$1"; else echo "$OUT/$1"; fi; } # kept NAME: the folder that training reads
