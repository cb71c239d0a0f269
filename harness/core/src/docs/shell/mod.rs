//! What a shell makes of text that is pasted into it: the commands it runs, each with its words, and why each one ends.
//!
//! Bash's rules (manual, "Shell Operation" and "Definitions"), as far as a document's commands need them: continuations, comments,
//! quotes, braces, operators, redirections, here-documents, reserved words. Variables and substitutions stay as they are written. A
//! test compares all of this with bash itself.

mod braces;
mod lexer;
mod word;

pub use lexer::script;

/// Everything of one block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// Simple commands in order, those of lists, pipelines and compound commands one by one.
    pub commands: Vec<Command>,
    /// Assignments that no command follows, each with its line.
    pub assignments: Vec<(usize, String)>,
    /// Here-documents in order.
    pub documents: Vec<Document>,
    /// What the shell still waits for at the end.
    pub open: Option<Open>,
}

/// A simple command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Line of its first word.
    pub line: usize,
    /// Line of its last word.
    pub end_line: usize,
    /// Assignments before it, as written.
    pub assignments: Vec<String>,
    /// Its words as written, in order; redirections are left out.
    pub words: Vec<Word>,
    /// Why it ends where it does.
    pub end: End,
}

/// A word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Its line.
    pub line: usize,
    /// Column of its first character, from 0.
    pub column: usize,
    /// As it is written.
    pub raw: String,
    /// What the command gets: quotes removed, braces expanded, so that there may be several, or none. Substitutions stay.
    pub values: Vec<String>,
    /// Whether it has an unquoted `*`, `?` or `[`, which files may take the place of.
    pub pattern: bool,
}

/// Why a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The line does.
    Line,
    /// An operator follows: `;`, `&&`, `|`, a parenthesis, ...
    Operator,
    /// The text does.
    Text,
    /// A backslash continued the line, and the next one, which is this, is a comment.
    Comment(usize),
    /// A backslash continued the line, and the next one, which is this, is blank.
    Blank(usize),
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Line its text begins in.
    pub line: usize,
    /// Its text.
    pub text: String,
}

/// What a shell waits for when the text is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Line where it begins.
    pub line: usize,
    /// What it is.
    pub what: Waits,
}

/// What a shell waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// The other quote or bracket.
    Quote(char),
    /// The end of a here-document.
    Document,
    /// Another line: the last one ends in a backslash.
    Continuation,
}

impl Command {
    /// What the program gets, its own name first.
    pub fn argv(&self) -> Vec<String> {
        self.words.iter().flat_map(|word| word.values.iter().cloned()).collect()
    }
}
