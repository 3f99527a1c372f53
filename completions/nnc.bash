# Completion of nnc's commands, flags and files in bash. Flags are read from the program's own --help, so that they are those
# of the nnc that is installed; a flag that takes a file, a folder or one of a few words completes that.
_nnc() {
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]} command="" help flag
  local commands="train run bench diff show plot fmt"
  COMPREPLY=()
  case " $commands " in *" ${COMP_WORDS[1]} "*) command=${COMP_WORDS[1]} ;; esac
  if [ "$COMP_CWORD" = 1 ] && [[ $word != -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word"; compgen -f -X '!*.@(nn|so|graph|plan)' -- "$word"; compgen -d -- "$word")
    compopt -o filenames 2> /dev/null
    return
  fi
  # shellcheck disable=SC2086
  help=$("$program" $command --help 2> /dev/null)
  if [[ $word == -* ]]; then
    flag=$(grep -oE -- '^  (-[a-z],|   ) --[a-z0-9-]+' <<< "$help" | grep -oE -- '--[a-z0-9-]+')
    [ "$COMP_CWORD" != 1 ] || flag="$flag --version"
    mapfile -t COMPREPLY < <(compgen -W "$flag" -- "$word")
    return
  fi
  # What the flag before takes, as its help calls it.
  flag=""
  [[ $previous != -* ]] || flag=$(grep -oE -- "^  .* ?$previous [A-Z][A-Z,.]*" <<< "$help" | head -1 | grep -oE '[A-Z,.]+$')
  case $flag in
  K | N | F | RATIO | NAME* | CONSTANTS | COLUMN | TRIPLE | PASS) return ;;
  KIND)
    mapfile -t COMPREPLY < <(compgen -W "o a so h ll s cu ptx graph plan dot svg html" -- "$word")
    return
    ;;
  esac
  mapfile -t COMPREPLY < <(compgen -f -- "${word#*=}")
  [[ $word != *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/${word%%=*}=}")
  compopt -o filenames 2> /dev/null
}
shopt -s extglob
complete -F _nnc nnc
