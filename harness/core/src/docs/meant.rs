//! What a block means, where that is more than what a shell makes of it: a command that a comment, a blank line or a missing backslash
//! cuts into pieces.

use super::shell::{Command, End, Script};

/// A command as its author meant it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meant {
    /// The whole command.
    pub(super) command: Command,
    /// What a shell makes of it, piece by piece.
    pub(super) pieces: Vec<Command>,
    /// Where it is cut.
    pub(super) cuts: Vec<Cut>,
}

/// Where a command is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// The line that has to change.
    pub(super) line: usize,
    pub(super) why: Why,
}

/// Why a command is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The line after a trailing backslash is a comment.
    Comment,
    /// The line after a trailing backslash is blank.
    Blank,
    /// No backslash ends the line.
    NoBackslash,
    /// A blank follows the backslash.
    BlankAfterBackslash,
}

/// The commands of a block as they are meant.
pub(super) fn meant(script: &Script) -> Vec<Meant> {
    let mut found: Vec<Meant> = Vec::new();
    for command in &script.commands {
        match found.last_mut().filter(|before| belongs(before, command)) {
            Some(before) => before.join(command),
            None => found.push(Meant { command: command.clone(), pieces: vec![command.clone()], cuts: Vec::new() }),
        }
    }
    found
}

/// Whether a command is in truth more of the one before.
fn belongs(before: &Meant, command: &Command) -> bool {
    let (Some(last), Some(first)) = (before.pieces.last(), command.words.first()) else { return false };
    let is_flag = first.raw.starts_with('-') && first.raw.len() > 1;
    let deeper = before.command.words.first().is_some_and(|word| first.column > word.column);
    match last.end {
        End::Operator | End::Text => false,
        End::Line => is_flag,
        End::Comment(_) | End::Blank(_) => is_flag || deeper,
    }
}

impl Meant {
    fn join(&mut self, command: &Command) {
        let Some(last) = self.pieces.last() else { return };
        let quoted_blank = last.words.last().is_some_and(|word| word.raw == "\\ " || word.raw == "\\\t");
        self.cuts.push(match last.end {
            End::Comment(line) => Cut { line, why: Why::Comment },
            End::Blank(line) => Cut { line, why: Why::Blank },
            _ if quoted_blank => Cut { line: last.end_line, why: Why::BlankAfterBackslash },
            _ => Cut { line: last.end_line, why: Why::NoBackslash },
        });
        if quoted_blank {
            self.command.words.pop();
        }
        self.command.words.extend(command.words.iter().cloned());
        self.command.end_line = command.end_line;
        self.command.end = command.end;
        self.pieces.push(command.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::super::shell::script;
    use super::*;

    fn read(text: &str) -> Vec<(String, Vec<(usize, Why)>)> {
        let lines: Vec<usize> = (1..=text.lines().count()).collect();
        let told = |meant: Meant| (meant.command.argv().join(" "), meant.cuts.iter().map(|cut| (cut.line, cut.why)).collect());
        meant(&script(text, &lines)).into_iter().map(told).collect()
    }

    #[test]
    fn a_cut_command_is_put_together_and_each_cut_has_its_line() {
        let text = "tool install \\\n    # why\n    --a b \\\n    --c\n    # more\n    --d\n\n    --e \\ \n    --f\n\ntool status\n";
        let cuts = vec![(2, Why::Comment), (4, Why::NoBackslash), (6, Why::NoBackslash), (8, Why::BlankAfterBackslash)];
        assert_eq!(read(text), [("tool install --a b --c --d --e --f".to_owned(), cuts), ("tool status".to_owned(), vec![])]);
        assert_eq!(read("a \\\n\n  b\n"), [("a b".to_owned(), vec![(2, Why::Blank)])]);
    }

    #[test]
    fn commands_that_end_where_they_are_meant_to_stay() {
        for text in ["a \\\n  --b \\\n  --c\nd\n", "a --b\n# then\nc\n", "a \\\n# stray\nb\n", "a; b\n", "a |\n  b -c\n"] {
            assert!(read(text).iter().all(|(_, cuts)| cuts.is_empty()), "{text}: {:?}", read(text));
        }
    }
}
