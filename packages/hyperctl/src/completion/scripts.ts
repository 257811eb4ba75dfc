// What is right for a line is known to "hyperctl __complete" (complete.ts): the scripts only ask it, in the ways of their shells.

const BASH = `# bash completion of hyperctl: source <(hyperctl completion bash)
_hyperctl() {
  local line=\${COMP_LINE:0:COMP_POINT} words=() candidate rest current prefix files=
  read -r -a words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  current=\${words[\${#words[@]}-1]}
  # The shell takes a word after : or = for one of its own.
  prefix=\${current%"\${current##*[:=]}"}
  [[ $COMP_WORDBREAKS == *:* ]] || prefix=\${current%"\${current##*=}"}
  COMPREPLY=()
  while IFS=$'\\t' read -r candidate rest; do
    if [[ $candidate == :files ]]; then files=1; else COMPREPLY+=("\${candidate#"$prefix"}"); fi
  done < <("\${words[0]/#\\~/$HOME}" __complete "\${words[@]:1}" 2>/dev/null)
  [[ \${#COMPREPLY[@]} == 1 && \${COMPREPLY[0]} == *[:=/] ]] && compopt -o nospace 2>/dev/null
  if [[ -n $files ]]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "\${current#"$prefix"}")
  fi
}
complete -F _hyperctl hyperctl
`;

const ZSH = `#compdef hyperctl
# zsh completion of hyperctl: source <(hyperctl completion zsh), or as a file _hyperctl in $fpath
_hyperctl() {
  local line files=
  local -a entries paths
  for line in "\${(@f)$("\${words[1]/#\\~/$HOME}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    if [[ $line == :files ]]; then
      files=1
    elif [[ \${line%%$'\\t'*} == *[:=/] ]]; then
      paths+=("\${line%%$'\\t'*}")
    elif [[ -n $line ]]; then
      entries+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
    fi
  done
  (( \${#entries} )) && _describe hyperctl entries
  (( \${#paths} )) && compadd -S '' -a paths
  [[ -n $files ]] && _files
  return 0
}
if [[ \${funcstack[1]} == _hyperctl ]]; then _hyperctl; else compdef _hyperctl hyperctl; fi
`;

const FISH = `# fish completion of hyperctl: hyperctl completion fish | source
function __hyperctl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c hyperctl -f -a '(__hyperctl_complete)'
`;

/** The completion scripts, by shell. */
export const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
