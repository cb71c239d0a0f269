//! What is wrong with the commands of a block, whatever they install.

use super::install::{self, Program};
use super::meant::{Meant, Why};
use super::shell::{Command, Script, Waits};
use crate::profile::{Finding, Place, Severity};

/// Findings of one block of commands.
pub(super) struct Commands<'a> {
    pub(super) file: &'a str,
    pub(super) script: &'a Script,
    pub(super) meant: &'a [Meant],
}

impl Commands<'_> {
    /// Everything that is wrong, by line.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut found = self.of_block();
        for meant in self.meant {
            found.extend(self.cuts(meant));
            found.extend(self.typography(meant));
            if let Some(program) = install::program(&meant.command) {
                found.extend(self.root(meant, &program));
                found.extend(self.firewall(meant, &program));
            }
        }
        found
    }

    fn at(&self, line: usize, rule: &'static str, severity: Severity, words: [String; 2], source: &str) -> Finding {
        let [happens, cure] = words;
        let place = Place::Line { file: self.file.to_owned(), line };
        Finding { rule, severity, place, happens, cure, source: source.to_owned() }
    }

    fn of_block(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Some(open) = self.script.open {
            let what = match open.what {
                Waits::Quote(mark) => format!("the {mark} that closes what begins here"),
                Waits::Document => "the end of the here-document that begins here".to_owned(),
                Waits::Continuation => "another line: the last one ends in a backslash".to_owned(),
            };
            let severity = if open.what == Waits::Continuation { Severity::Warning } else { Severity::Error };
            let words = [format!("the shell waits for {what}, and takes whatever is typed next for it"), "close it".to_owned()];
            found.push(self.at(open.line, "shell-waits", severity, words, "bash manual, Quoting"));
        }
        let prompt = |meant: &&Meant| meant.command.words.first().is_some_and(|word| word.raw == "$");
        if let Some(meant) = self.meant.iter().find(prompt) {
            let words = [
                "pasted with its prompt the shell looks for a program called `$`: command not found".to_owned(),
                "leave the prompts out, or call the block `console`".to_owned(),
            ];
            found.push(self.at(meant.command.line, "prompt-in-block", Severity::Error, words, "bash manual, Command Search and Execution"));
        }
        found
    }

    fn cuts(&self, meant: &Meant) -> Vec<Finding> {
        const SOURCE: &str = "bash manual, Escape Character, Comments; compared with bash by harness/core/tests/docs_shell.rs";
        let mut found = Vec::new();
        for ((cut, before), after) in meant.cuts.iter().zip(&meant.pieces).zip(meant.pieces.iter().skip(1)) {
            let ran = shown(before);
            let next = after.words.first().map(|word| word.raw.clone()).unwrap_or_default();
            let (why, cure) = match cut.why {
                Why::Comment => ("this comment ends the line that the backslash before continues", "put the comment above the command"),
                Why::Blank => ("this blank line ends the line that the backslash before continues", "take the blank line out"),
                Why::NoBackslash => ("no backslash continues this line", "end the line with a backslash"),
                Why::BlankAfterBackslash => {
                    ("a blank follows the backslash, which quotes it and continues nothing", "take the blank at the end out")
                }
            };
            let words = [
                format!("{why}: the shell runs `{ran}`, and then looks for a program called {next}: command not found, status 127"),
                cure.to_owned(),
            ];
            found.push(self.at(cut.line, "command-cut", Severity::Error, words, SOURCE));
        }
        found
    }

    fn typography(&self, meant: &Meant) -> Option<Finding> {
        let typeset = |c: &char| matches!(c, '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' | '\u{2013}' | '\u{2014}' | '\u{a0}');
        let word = meant.command.words.iter().find(|word| word.raw.chars().any(|c| typeset(&c)))?;
        let mark = word.raw.chars().find(typeset)?;
        let words = [
            format!("`{mark}` (U+{:04X}) is no quote, dash or blank to a shell, which passes it on as it is", u32::from(mark)),
            "type the plain character".to_owned(),
        ];
        Some(self.at(word.line, "typographic-character", Severity::Error, words, "bash manual, Quoting"))
    }

    /// `sudo cilium` asks another cluster, or none.
    fn root(&self, meant: &Meant, program: &Program) -> Option<Finding> {
        let asks = ["cilium", "helm", "kubectl"].contains(&program.name.as_str());
        let told = program.args.iter().any(|(_, arg)| arg.starts_with("--kubeconfig"));
        if !program.sudo || !asks || told {
            return None;
        }
        let words = [
            format!(
                "sudo starts {} with root's environment: it reads /root/.kube/config, finds another cluster or none, and needs no root at all",
                program.name
            ),
            format!("{} without sudo", program.name),
        ];
        Some(self.at(
            meant.command.line,
            "sudo-kubeconfig",
            Severity::Warning,
            words,
            "sudoers manual, env_reset; cli v0.16.19: install needs the Kubernetes API alone",
        ))
    }

    /// Rules of everybody, and rules by position.
    fn firewall(&self, meant: &Meant, program: &Program) -> Option<Finding> {
        if !["iptables", "ip6tables"].contains(&program.name.as_str()) {
            return None;
        }
        const SOURCE: &str = "iptables(8); Docker manual, Packet filtering and firewalls";
        let args: Vec<&str> = program.args.iter().map(|(_, arg)| arg.as_str()).collect();
        let after = |flags: [&str; 2]| args.iter().position(|arg| flags.contains(arg)).map(|at| args.get(at + 1..).unwrap_or_default());
        let chain = |rest: &[&str]| rest.first().filter(|word| !word.starts_with('-')).map(|word| (*word).to_owned());
        let table = after(["-t", "--table"]).and_then(|rest| rest.first()).copied().unwrap_or("filter");
        let line = meant.command.line;
        if let Some(rest) = after(["-D", "--delete"])
            && rest.get(1).is_some_and(|word| word.bytes().all(|b| b.is_ascii_digit()))
        {
            let words = [
                format!("it deletes whatever rule is number {} of {} on that day", rest[1], rest[0]),
                "name the rule in full, as `iptables -S` prints it".to_owned(),
            ];
            return Some(self.at(line, "firewall-by-position", Severity::Warning, words, SOURCE));
        }
        let (flushes, deletes) = (after(["-F", "--flush"]), after(["-X", "--delete-chain"]));
        let (happens, cure) = match chain(flushes.or(deletes)?) {
            None if flushes.is_some() => (
                format!("it takes every rule out of table {table}: those of Docker, of kind, of kube-proxy and of the firewall too"),
                "name the chains that are meant: Cilium's begin with CILIUM_ or OLD_CILIUM_",
            ),
            None => (
                format!("it deletes every chain of table {table} that is empty and that no rule names, whoever made it"),
                "name the chains that are meant: Cilium's begin with CILIUM_ or OLD_CILIUM_",
            ),
            Some(name) if name.starts_with("DOCKER") => (
                format!("{name} is Docker's: containers and kind clusters lose their network until Docker is restarted"),
                "leave Docker's chains alone; they are made again when it starts",
            ),
            Some(_) => return None,
        };
        Some(self.at(line, "firewall-of-others", Severity::Warning, [happens, cure.to_owned()], SOURCE))
    }
}

/// A command as one line, as it is written.
pub(super) fn shown(command: &Command) -> String {
    command.words.iter().map(|word| word.raw.as_str()).collect::<Vec<_>>().join(" ")
}
