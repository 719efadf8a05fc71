// What a shell runs to complete our command lines: it asks `tskmod completion words` and offers the answer.

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** @param names of the applets, without `ts` */
export function completionScript(shell: Shell, names: readonly string[]): string {
  const own = ['tskmod', ...names.map((name) => `ts${name}`)];
  switch (shell) {
    case 'bash':
      return bash(own, names);
    case 'zsh':
      return zsh(own, names);
    case 'fish':
      return fish(own, names);
  }
}

/** bash cuts words at `=` and `:`, and wants no more than what follows the last cut. */
function bash(own: readonly string[], names: readonly string[]): string {
  return `# bash completion of tsmodprobe: source this, or keep it as tskmod in a directory of bash-completion.
_tskmod() {
    local rest=\${COMP_LINE:0:COMP_POINT} piece= words=() i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        piece=\${COMP_WORDS[i]}
        if [[ $i == 0 || $rest == [[:blank:]]* || -z $rest ]]; then
            rest=\${rest#"\${rest%%[![:blank:]]*}"}
            words+=('')
        fi
        ((i == COMP_CWORD)) && piece=$rest
        words[-1]+=$piece
        rest=\${rest#"$piece"}
    done
    local word=\${words[-1]} cut=
    [[ $piece == [=:] ]] && piece=
    cut=\${word%"$piece"}
    local paths= line reply=()
    while IFS= read -r line; do
        if [[ -z $paths ]]; then paths=$line; else
            line=\${line%%$'\\t'*}
            reply+=("\${line#"$cut"}")
        fi
    done < <(command tskmod completion words "\${words[@]}" 2>/dev/null)
    case $paths in
    files) compopt -o filenames; mapfile -t -O "\${#reply[@]}" reply < <(compgen -f -- "$piece") ;;
    directories) compopt -o filenames; mapfile -t -O "\${#reply[@]}" reply < <(compgen -d -- "$piece") ;;
    esac
    [[ \${#reply[@]} == 1 && \${reply[0]} == *= ]] && compopt -o nospace
    COMPREPLY=("\${reply[@]}")
}
complete -F _tskmod ${own.join(' ')}
# Only where these are ours, too.
for _tskmod_name in ${names.join(' ')}; do
    [[ "$(type -P "$_tskmod_name")" -ef "$(type -P tskmod)" ]] && complete -F _tskmod "$_tskmod_name"
done
unset _tskmod_name
`;
}

function zsh(own: readonly string[], names: readonly string[]): string {
  return `#compdef ${own.join(' ')}
# zsh completion of tsmodprobe: keep it as _tskmod in a directory of $fpath, or source it after compinit.
_tskmod() {
    local -a answer full=() shown=() open=() openShown=()
    local line word
    answer=("\${(@f)$(command tskmod completion words "\${(@Q)words[1,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null)}")
    for line in "\${(@)answer[2,-1]}"; do
        [[ -n $line ]] || continue
        word=\${line%%$'\\t'*}
        if [[ $line == *$'\\t'?* ]]; then line="$word  -- \${line#*$'\\t'}"; else line=$word; fi
        if [[ $word == *= ]]; then open+=("$word") openShown+=("$line"); else full+=("$word") shown+=("$line"); fi
    done
    (( $#full )) && compadd -l -d shown -a full
    (( $#open )) && compadd -l -S '' -d openShown -a open
    [[ $PREFIX == --*=* ]] && compset -P '*='
    case $answer[1] in
    files) _files ;;
    directories) _files -/ ;;
    esac
}
compdef _tskmod ${own.join(' ')}
# Only where these are ours, too.
() {
    local name
    for name in ${names.join(' ')}; do
        [[ -n $commands[$name] && $commands[$name] -ef $commands[tskmod] ]] && compdef _tskmod $name
    done
    return 0
}
# As a file of $fpath this is the body of the function, which is called at once.
[[ $funcstack[1] == _tskmod ]] && _tskmod "$@"
return 0
`;
}

function fish(own: readonly string[], names: readonly string[]): string {
  return `# fish completion of tsmodprobe: keep it as tskmod.fish in a directory of $fish_complete_path, or source it.
function __tskmod
    set -l typed (commandline -ct)
    set -l answer (command tskmod completion words (commandline -opc) "$typed" 2>/dev/null)
    test (count $answer) -gt 0; or return
    set -l path (string replace -r -- '^--[^=]*=' '' "$typed")
    set -l before (string sub -l (math (string length -- "$typed") - (string length -- "$path")) -- "$typed")
    printf '%s\\n' $answer[2..-1]
    switch $answer[1]
        case files
            __fish_complete_path "$path" | string replace -r -- '^' "$before"
        case directories
            __fish_complete_directories "$path" | string replace -r -- '^' "$before"
    end
end
for name in ${own.join(' ')}
    complete -c $name -f -a '(__tskmod)'
end
# Only where these are ours, too.
for name in ${names.join(' ')}
    set -l path (command -s $name); or continue
    test (realpath $path) = (realpath (command -s tskmod)); and complete -c $name -f -a '(__tskmod)'
end
`;
}
