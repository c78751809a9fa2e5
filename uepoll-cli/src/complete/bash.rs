//! What makes bash ask. clap's own script passes on the words as bash has broken
//! them, and bash breaks at `:` and `=`: `4242:7` would be three of them. This one
//! puts them together again, and takes from each answer what stands already.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::env::EnvCompleter;

/// Bash, by a script of our own.
pub struct Bash;

const SCRIPT: &str = r#"
_uepoll_complete() {
    local IFS=$'\013' words=() word at=0 i glued=0
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        word=${COMP_WORDS[i]}
        if ((i > 0)) && { [[ $word == [:=]* && ${#words[@]} -gt 1 ]] || ((glued)); }; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
        if [[ $word == *[:=] ]]; then glued=1; else glued=0; fi
        if ((i == COMP_CWORD)); then at=$((${#words[@]} - 1)); fi
        if ((i == COMP_CWORD)); then break; fi
    done
    local typed=${words[at]}
    local standing=${typed%"${typed##*[:=]}"}
    COMPREPLY=( $( \
        _CLAP_IFS="$IFS" \
        _CLAP_COMPLETE_INDEX="$at" \
        VAR="bash" \
        COMPLETER -- "${words[@]}" 2>/dev/null \
    ) )
    COMPREPLY=("${COMPREPLY[@]#"$standing"}")
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:/] ]]; then
        compopt -o nospace
    fi
}
complete -o bashdefault -o nosort -F _uepoll_complete BIN
"#;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == "bash"
    }

    fn write_registration(
        &self,
        var: &str,
        _name: &str,
        bin: &str,
        completer: &str,
        to: &mut dyn io::Write,
    ) -> io::Result<()> {
        let completer = format!("'{}'", completer.replace('\'', r"'\''"));
        let script =
            SCRIPT.replace("BIN", bin).replace("VAR", var).replace("COMPLETER", &completer);
        to.write_all(script.as_bytes())
    }

    fn write_complete(
        &self,
        command: &mut Command,
        words: Vec<OsString>,
        folder: Option<&Path>,
        to: &mut dyn io::Write,
    ) -> io::Result<()> {
        clap_complete::env::Bash.write_complete(command, words, folder, to)
    }
}
