"""`sampan completion SHELL`: a script for the shell to load, made from the table of commands."""

from __future__ import annotations

import argparse

from sampan.cli.main import COMMANDS

BASH = """\
_sampan() {{
  local word=${{COMP_WORDS[COMP_CWORD]}}
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W "{words}" -- "$word"))
  elif [ "${{word#-}}" != "$word" ]; then
    local flags=$(sampan "${{COMP_WORDS[1]}}" --help 2>/dev/null | grep -o -- '--[a-z-]*' | sort -u)
    COMPREPLY=($(compgen -W "$flags" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}}
complete -F _sampan sampan
"""
ZSH = """\
#compdef sampan
_sampan() {{
  local -a commands=({rows})
  if (( CURRENT == 2 )); then
    _describe command commands
  else
    compadd -- $(sampan $words[2] --help 2>/dev/null | grep -o -- '--[a-z-]*' | sort -u)
    _files
  fi
}}
compdef _sampan sampan
"""
FISH = "complete -c sampan -n __fish_use_subcommand -f -a {name} -d {text}\n"


def run(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("sampan completion", description=__doc__)
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    print(script(parser.parse_args(argv).shell), end="")
    return 0


def script(shell: str) -> str:
    if shell == "bash":
        return BASH.format(words=" ".join(COMMANDS))
    if shell == "zsh":
        rows = " ".join(_quoted(f"{name}:{text}") for name, text in COMMANDS.items())
        return ZSH.format(rows=rows)
    return "".join(FISH.format(name=n, text=_quoted(text)) for n, text in COMMANDS.items())


def _quoted(text: str) -> str:
    """Single quotes for a shell; fish and zsh both take a quote as '\\''."""
    return "'" + text.replace("'", "'\\''") + "'"
