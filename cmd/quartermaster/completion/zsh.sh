#compdef quartermaster
# Completion of quartermaster for zsh.
_quartermaster() {
  local line
  local -a candidates
  for line in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] || continue
    line=${line//:/\\:}
    candidates+=("${line/$'\t'/:}")
  done
  if (( ${#candidates} )); then
    _describe quartermaster candidates
  else
    _files
  fi
}
if [[ $funcstack[1] == _quartermaster ]]; then
  _quartermaster "$@"
else
  compdef _quartermaster quartermaster
fi
