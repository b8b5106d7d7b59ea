# Source this file to run `omni ...` in one process that has imported torch already: imports would take most of the time.
# stdout is discarded, so every command needs -o FILE. OMNI_WARM=0 runs plain commands.
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
