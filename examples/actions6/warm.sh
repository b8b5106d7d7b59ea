# Source this, and `omni ...` runs in one warm process instead of a fresh one each time, which would spend most of a
# second's work on ten seconds of imports. What is printed to stdout is lost, so every command has its -o FILE.
# OMNI_WARM=0: plain commands.
if [ "${OMNI_WARM:-1}" = 1 ]; then
    coproc OMNI_SERVER { exec "${PYTHON:-python}" "$(dirname "${BASH_SOURCE[0]}")/warm.py"; }
    omni() {
        local code IFS=$'\x1f'
        printf '%s\n' "$*" >&"${OMNI_SERVER[1]}"
        read -r code <&"${OMNI_SERVER[0]}" || code=70
        return "$code"
    }
else
    omni() { command omni "$@" >/dev/null; }
fi
