//! What `docs::shell` says a shell would run, compared with bash itself.
//!
//! Bash runs each text with an empty PATH and a handler for commands that are not there, which writes down the words it gets.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::{Command, Stdio};

use plumb_core::docs::shell;

/// Writes every command that is no builtin to file descriptor 9, with a zero byte after each word, and says it went well.
const HANDLER: &str = "command_not_found_handle() { printf '%s\\0' \"$#\" \"$@\" >&9; return 0; }\nPATH=/nowhere\n";

/// What bash runs: the words of each command. `None` where it finds a mistake in the text.
fn bash(text: &str, folder: &Path) -> Option<Vec<Vec<String>>> {
    let (script, seen) = (folder.join("script"), folder.join("seen"));
    std::fs::write(&script, format!("{HANDLER}exec 9>'{}'\n{text}", seen.display())).unwrap();
    let run = |args: &[&str]| {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "--noprofile"]).args(args).arg(&script).current_dir(folder).stdin(Stdio::null());
        bash.output().expect("bash is needed to compare with")
    };
    let sound = run(&["-n"]);
    if !sound.status.success() || !sound.stderr.is_empty() {
        return None;
    }
    run(&[]);
    let seen = std::fs::read_to_string(seen).unwrap();
    let mut words = seen.split_terminator('\0');
    let mut commands = Vec::new();
    while let Some(count) = words.next() {
        commands.push(words.by_ref().take(count.parse().unwrap()).map(str::to_owned).collect());
    }
    Some(commands)
}

fn ours(text: &str) -> Vec<Vec<String>> {
    let lines: Vec<usize> = (1..=text.lines().count() + 1).collect();
    shell::script(text, &lines).commands.iter().map(shell::Command::argv).collect()
}

#[test]
fn words_are_those_of_bash() {
    let folder = tempfile::tempdir().unwrap();
    for text in [
        "cilium install --version 1.17.1 \\\n    # a comment ends it\n    --namespace kube-system \\\n    --set a=true\n    --set b=true\n",
        "cilium install \\\n\n  --set a=b\n",
        "cilium install \\\n   \n  --set a=b\n",
        "cilium install \\ \n  --set a=b\n",
        "cilium install \\\n--set a=b \\\n--set c=d",
        "cilium install--set\\\n#no-comment\n",
        "run --set devices={eth0,net0} --set \"devices={eth0,net0}\" --set devices='{eth0,net0}'\n",
        "run --set a.b[0]=NET_BIND_SERVICE --set x=\"a b\"c'd e' \\\"quoted\\\" a\\ b\n",
        "run a#b # comment\nrun #comment\n#comment only\nrun2 '#' \"#\"\n",
        "one; two && three; four & wait\n",
        "one &&\n  # between\n  two\n",
        "if true; then one a; else two; fi\nfor x in 1 2; do :; done\n",
        "curl -L x.tar.gz{,.sha256sum}\nrm {a,b}{1..3} {c..a} {lonely} {}\n",
        "run \"a \\\n b\" 'a \\\n b'\n",
        "run a >/dev/null 2>&1 b <<<word c\n",
        "run <<EOF a\n not a command\nEOF\nrun2\n",
        "run <<-'EOF'\n\tnot a $command\n\tEOF\nrun2\n",
        "A=1 B='x y' run --c=d E=f\n",
        "(one a)\n{ two; }\n! three\n",
        "if [[ a == b && ( c < d ) ]]; then one; fi; two\n",
        "case x in a) one;; x) two x;; esac\n",
        "f() { one; }\nf\n",
        "run $'a b' \"\" '' \"a\"\"b\"\n",
        "run 'it''s' \"it's\" it\\'s\n",
    ] {
        let expected = bash(text, folder.path()).unwrap_or_else(|| panic!("bash finds a mistake in {text:?}"));
        let mut found = ours(text);
        // Builtins, and commands of branches that are not taken, are not seen by the handler.
        found.retain(|argv| !["wait", "true", ":", "[["].contains(&argv[0].as_str()) && expected.contains(argv));
        assert_eq!(found, expected, "{text}");
    }
}

/// A generator of its own, so that a failure can be had again by its number.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

#[test]
fn texts_at_random_are_read_as_bash_reads_them() {
    const TOKENS: [&str; 24] = [
        "run",
        "--set",
        "a=b",
        "-x",
        " ",
        " ",
        " ",
        "\\\n",
        "\\\n  ",
        " \\\n",
        "\n",
        "\n",
        "# c\n",
        "  # d\n",
        "'x y'",
        "\"p  q\"",
        "{e,f}",
        "{g}",
        ";",
        " && ",
        "\\ ",
        "\"{h,i}\"",
        "#",
        "\\#",
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut compared = 0;
    for _ in 0..400 {
        let text: String = std::iter::once("run ").chain((0..dice.below(18)).map(|_| TOKENS[dice.below(TOKENS.len())])).collect();
        let Some(expected) = bash(&text, folder.path()) else { continue };
        compared += 1;
        assert_eq!(ours(&text), expected, "{text:?}");
    }
    assert!(compared > 150, "bash took only {compared} of the texts");
}
