//! Commands that install or upgrade Cilium: which version, with which values.

use serde_json::Value;

use super::shell::{Command, Word, script};
use crate::profile::{Action, Before};
use crate::values::{Values, merge, parse_set};

/// What a command is run with before its own name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Program {
    /// Its name without its folder.
    pub(super) name: String,
    /// Whether it runs as root, with root's environment.
    pub(super) sudo: bool,
    /// Its arguments: each as it is written, and as the program gets it.
    pub(super) args: Vec<(String, String)>,
}

/// Which program installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Cilium,
    Helm,
}

/// A command that installs or upgrades Cilium.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Install {
    pub(super) tool: Tool,
    pub(super) action: Action,
    pub(super) version: Option<String>,
    pub(super) before: Before,
    /// What stands after each `--set`, as it is written.
    pub(super) words: Vec<String>,
    pub(super) values: Values,
    /// Values files, which are not read.
    pub(super) files: Vec<String>,
}

/// The program of a command, past `sudo`, `env` and `time`.
pub(super) fn program(command: &Command) -> Option<Program> {
    let flat = |word: &Word| word.values.iter().map(|value| (word.raw.clone(), value.clone())).collect::<Vec<_>>();
    let mut args = command.words.iter().flat_map(flat).collect::<Vec<_>>().into_iter().peekable();
    let mut found = Program::default();
    loop {
        let (_, word) = args.next()?;
        match word.as_str() {
            "sudo" => {
                found.sudo = true;
                while let Some((_, option)) = args.next_if(|(_, word)| word.starts_with('-') || word.contains('=')) {
                    match option.as_str() {
                        "-u" | "-g" | "-h" | "-p" => _ = args.next(),
                        // The environment is kept, and KUBECONFIG with it.
                        "-E" | "--preserve-env" => found.sudo = false,
                        option if option.starts_with("KUBECONFIG=") => found.sudo = false,
                        _ => {}
                    }
                }
            }
            "env" | "time" | "command" | "exec" | "$" => while args.next_if(|(_, word)| word.contains('=')).is_some() {},
            _ => {
                found.name = word.rsplit('/').next().unwrap_or(&word).to_owned();
                found.args = args.collect();
                return Some(found);
            }
        }
    }
}

/// The installation a program is, if it is one.
pub(super) fn install(program: &Program) -> Option<Install> {
    let plain: Vec<&str> = program.args.iter().map(|(_, arg)| arg.as_str()).collect();
    let verb = *plain.first()?;
    let (tool, action) = match (program.name.as_str(), verb) {
        ("cilium", "install") => (Tool::Cilium, Action::Install),
        ("cilium", "upgrade") => (Tool::Cilium, Action::Upgrade),
        ("helm", "install" | "upgrade") if plain.iter().any(|arg| arg.ends_with("/cilium")) => {
            let fresh = verb == "install" || plain.iter().any(|arg| *arg == "--install" || *arg == "-i");
            (Tool::Helm, if fresh { Action::Install } else { Action::Upgrade })
        }
        _ => return None,
    };
    let mut found =
        Install { tool, action, version: None, before: Before::Unsaid, words: Vec::new(), values: Values::new(), files: Vec::new() };
    let mut args = program.args.iter().skip(1);
    while let Some((raw, arg)) = args.next() {
        let split = |text: &'_ str| text.split_once('=').filter(|_| text.starts_with("--")).map(|(a, b)| (a.to_owned(), b.to_owned()));
        let (flag, given) = split(arg).map_or((arg.clone(), None), |(flag, value)| (flag, Some((raw.clone(), value))));
        let mut value = || match &given {
            Some((raw, value)) => Some((split(raw).map_or(raw.clone(), |(_, raw)| raw), value.clone())),
            None => args.next().cloned(),
        };
        match flag.as_str() {
            "--set" | "--helm-set" | "--set-string" | "--helm-set-string" => {
                let Some((raw, text)) = value() else { continue };
                let texts = flag.ends_with("-string");
                found.words.push(raw);
                pairs(&text, texts).into_iter().for_each(|(key, value)| merge(&mut found.values, &Values::from([(key, value)])));
            }
            "--version" => found.version = value().map(|(_, version)| version),
            "--values" | "--helm-values" | "-f" => found.files.extend(value().map(|(_, file)| file)),
            "--reuse-values" | "--reset-then-reuse-values" => found.before = Before::Keep,
            "--reset-values" => found.before = Before::Reset,
            _ => {}
        }
    }
    Some(found)
}

/// The values of words that stand after `--set` in a shell, as Helm gets them.
pub(crate) fn values_of_words(words: &[String]) -> Values {
    let mut values = Values::new();
    for word in words {
        let text = script(&format!("--set {word}"), &[1]).commands.first().and_then(|command| command.argv().get(1).cloned());
        for (key, value) in text.iter().flat_map(|text| pairs(text, false)) {
            merge(&mut values, &Values::from([(key, value)]));
        }
    }
    values
}

/// `a=b,c=d` as Helm reads it: a comma ends a value unless braces hold it or a backslash stands before it.
fn pairs(text: &str, as_text: bool) -> Vec<(String, Value)> {
    let (mut pieces, mut depth, mut escaped) = (vec![String::new()], 0usize, false);
    for c in text.chars() {
        match c {
            ',' if depth == 0 && !escaped => {
                pieces.push(String::new());
                continue;
            }
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    let read = |piece: String| {
        let (key, value) = parse_set(&piece.replace("\\,", ",")).ok()?;
        let text = piece.split_once('=').map(|(_, text)| text.to_owned());
        Some((key, if as_text { Value::String(text.unwrap_or_default()) } else { value }))
    };
    pieces.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> (Program, Option<Install>) {
        let program = program(&script(text, &[1]).commands[0]).unwrap();
        let install = install(&program);
        (program, install)
    }

    #[test]
    fn installations_are_read_with_their_values() {
        let (program, found) =
            read("sudo -u root /usr/bin/cilium install --version=1.17.1 -n kube-system --set a.b=true,c=2 --set \"d={e,f}\" -f v.yaml");
        let found = found.unwrap();
        assert!(program.sudo);
        assert_eq!((found.tool, found.action, found.version.as_deref()), (Tool::Cilium, Action::Install, Some("1.17.1")));
        assert_eq!(json!(found.values), json!({"a.b": true, "c": 2, "d": ["e", "f"]}));
        assert_eq!((found.words, found.files), (vec!["a.b=true,c=2".to_owned(), "\"d={e,f}\"".to_owned()], vec!["v.yaml".to_owned()]));
    }

    #[test]
    fn words_after_unquoted_braces_reach_nobody() {
        let found = read("cilium install --set devices={eth0,net0} --set-string x=true").1.unwrap();
        assert_eq!(json!(found.values), json!({"devices": "eth0", "x": "true"}));
        assert_eq!(found.words[0], "devices={eth0,net0}");
    }

    #[test]
    fn upgrades_say_what_becomes_of_earlier_values() {
        for (text, tool, action, before) in [
            ("cilium upgrade --set a=b", Tool::Cilium, Action::Upgrade, Before::Unsaid),
            ("cilium upgrade --reuse-values", Tool::Cilium, Action::Upgrade, Before::Keep),
            ("helm upgrade cilium cilium/cilium --reset-values", Tool::Helm, Action::Upgrade, Before::Reset),
            ("helm upgrade --install cilium oci://quay.io/cilium/charts/cilium", Tool::Helm, Action::Install, Before::Unsaid),
        ] {
            let found = read(text).1.unwrap();
            assert_eq!((found.tool, found.action, found.before), (tool, action, before), "{text}");
        }
        assert!(read("helm install app other/app").1.is_none());
        assert!(read("cilium status --wait").1.is_none());
    }

    #[test]
    fn sudo_that_keeps_the_environment_is_none() {
        for (text, sudo) in [
            ("sudo cilium status", true),
            ("sudo -E cilium status", false),
            ("sudo KUBECONFIG=/x kubectl get a", false),
            ("kubectl", false),
        ] {
            assert_eq!(read(text).0.sudo, sudo, "{text}");
        }
    }
}
