# Completion of quartermaster for bash.
_quartermaster() {
  local IFS=$'\n' line word=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]:1:COMP_CWORD}")
  # bash cuts --option=value into three words.
  if [[ $word == = ]]; then
    word=
    words=("${words[@]:0:${#words[@]}-1}" "")
  elif ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then
    words=("${words[@]:0:${#words[@]}-2}" "$word")
  fi
  COMPREPLY=()
  while read -r line; do
    COMPREPLY+=("${line%%$'\t'*}")
  done < <("${COMP_WORDS[0]}" __complete "${words[@]}" 2>/dev/null)
}
complete -o default -F _quartermaster quartermaster
