
# Completes the pairs KEY=VALUE of -o, and zones. The last word of the line counts, because quotes hold several pairs.
_carbontracker_pairs() {
    local keys='@KEYS@'
    local zones='@ZONES@'
    local line=${COMP_LINE:0:COMP_POINT} words=''
    local pairs="[[:space:]](-o|--option)[[:space:]=]*('[^']*|\"[^\"]*|[^[:space:]'\"]*)\$"
    local word=${line##*[[:space:]\'\"]}
    if [[ $line =~ [[:space:]]--location[[:space:]=]+[^[:space:]]*$ ]]; then
        words=$zones
        word=${word#--location=}
    elif [[ $word != -* && $line =~ [[:space:]](options|zones)[[:space:]]+[^[:space:]]*$ ]]; then
        [[ ${BASH_REMATCH[1]} == zones ]] && words=$zones || words=$keys
    elif [[ $line =~ $pairs ]]; then
        word=${word#--option=}
        case $word in
            location=*) words=$(compgen -P location= -W "$zones") ;;
            *) words=$(compgen -S = -W "$keys") && compopt -o nospace 2>/dev/null ;;
        esac
    else
        _carbontracker "$@"
        return
    fi
    COMPREPLY=()
    # The shell splits words at = and :, and replaces what follows the last one.
    local start=${word%"${word##*[=:]}"} one
    while IFS= read -r one; do
        COMPREPLY+=("${one#"$start"}")
    done < <(compgen -W "$words" -- "$word")
}
complete -F _carbontracker_pairs -o bashdefault -o default carbontracker ctrack
