# Run a command of omni once per GPU, each on its part of the records, and join the parts:
#
#     bash on_gpus.sh GPUS OUT REJECTS omni filter --teacher t.pth --rule paper web.jsonl
#
# Finished parts are kept until all are, and an interrupted part resumes: run the same command again.
set -euo pipefail
gpus=$1 out=$2 rejects=$3
shift 3
if [ "$gpus" = 1 ]; then
    exec "$@" -o "$out" --rejects "$rejects"
fi

running=()
for ((gpu = 0; gpu < gpus; gpu++)); do
    [ -e "$out.part$gpu" ] && continue
    CUDA_VISIBLE_DEVICES=$gpu "$@" --part "$gpu/$gpus" -o "$out.part$gpu" --rejects "$rejects.part$gpu" &
    running+=($!)
done
trap 'kill "${running[@]}" 2> /dev/null || true; wait' INT TERM
failed=0
for process in ${running[@]+"${running[@]}"}; do
    wait "$process" || failed=$?
done
[ "$failed" = 0 ] || exit "$failed"

parts=$(seq 0 $((gpus - 1)))
for name in "$rejects" "$out"; do
    for part in $parts; do cat "$name.part$part"; done > "$name.joined"
done
mv "$rejects.joined" "$rejects"
mv "$out.joined" "$out"
for part in $parts; do rm "$out.part$part" "$rejects.part$part"; done
