//! From characters to commands.

use super::braces::{self, Piece};
use super::word::is_assignment;
use super::{Command, Document, End, Open, Script, Waits, Word};

/// Words that come before a command and are none.
const BEFORE: [&str; 12] = ["if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "fi", "done"];
/// Words that come after one, or are the head of a compound command, whose words are no command.
const HEADS: [&str; 4] = ["for", "case", "select", "function"];

/// The commands of a block. `lines` has the document's number of each line of `text`.
pub fn script(text: &str, lines: &[usize]) -> Script {
    let mut lexer = Lexer {
        chars: text.chars().collect(),
        lines,
        at: 0,
        row: 0,
        row_start: 0,
        continued: false,
        words: Vec::new(),
        assignments: Vec::new(),
        depth: 0,
        wanted: Vec::new(),
        script: Script::default(),
    };
    lexer.run();
    lexer.script
}

pub(super) struct Lexer<'a> {
    pub(super) chars: Vec<char>,
    lines: &'a [usize],
    pub(super) at: usize,
    /// Lines read so far, and where this one starts.
    row: usize,
    pub(super) row_start: usize,
    /// Whether a backslash has continued the line and nothing but blanks came since.
    pub(super) continued: bool,
    words: Vec<Word>,
    assignments: Vec<String>,
    /// Open parentheses.
    depth: usize,
    /// Ends of the here-documents whose text begins with the next line, and whether leading tabs go.
    wanted: Vec<(String, bool)>,
    script: Script,
}

impl Lexer<'_> {
    fn run(&mut self) {
        loop {
            self.blanks();
            match self.peek(0) {
                None => break,
                Some('\n') => self.newline(),
                Some('#') => self.comment(),
                Some('&') if self.peek(1) == Some('>') => {
                    self.at += 2;
                    self.target();
                }
                Some('<' | '>') if self.peek(1) != Some('(') && !self.in_test() => self.redirection(),
                Some('(') if self.words.len() == 1 && self.assignments.is_empty() && self.peek(1) == Some(')') => {
                    // `name() {`: the head of a function.
                    self.at += 2;
                    self.words.clear();
                }
                Some(';') => self.operator(),
                Some('&' | '|' | '(' | ')') if !self.in_test() => self.operator(),
                Some(_) => self.word(),
            }
        }
        if self.continued && self.script.open.is_none() {
            self.wait(self.line(), Waits::Continuation);
        }
        if !self.wanted.is_empty() {
            self.wait(self.line(), Waits::Document);
        }
        self.finish(End::Text);
    }

    pub(super) fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// The document's number of the line the lexer is in.
    pub(super) fn line(&self) -> usize {
        self.lines.get(self.row).or(self.lines.last()).copied().unwrap_or(1)
    }

    pub(super) fn wait(&mut self, line: usize, what: Waits) {
        self.script.open.get_or_insert(Open { line, what });
    }

    /// Takes one character and keeps count of the lines.
    pub(super) fn take(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        if c == '\n' {
            self.row += 1;
            self.row_start = self.at;
        }
        Some(c)
    }

    pub(super) fn continuation(&mut self) -> bool {
        let is = self.peek(0) == Some('\\') && self.peek(1) == Some('\n');
        if is {
            self.take();
            self.take();
            self.continued = true;
        }
        is
    }

    fn blanks(&mut self) {
        while self.continuation() || self.peek(0).is_some_and(|c| c == ' ' || c == '\t') {
            if self.peek(0).is_some_and(|c| c == ' ' || c == '\t') {
                self.take();
            }
        }
    }

    fn newline(&mut self) {
        let end = if self.continued { End::Blank(self.line()) } else { End::Line };
        self.finish(end);
        self.take();
        self.continued = false;
        for (end, tabs) in std::mem::take(&mut self.wanted) {
            self.here_document(&end, tabs);
        }
    }

    fn comment(&mut self) {
        let (line, continued) = (self.line(), self.continued);
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.take();
        }
        if continued {
            self.finish(End::Comment(line));
            self.continued = false;
        }
    }

    fn operator(&mut self) {
        match self.take() {
            Some('(') => self.depth += 1,
            Some(')') if self.depth == 0 => {
                // The pattern of a `case`.
                self.words.clear();
                self.assignments.clear();
            }
            Some(')') => self.depth -= 1,
            _ => {}
        }
        self.finish(End::Operator);
        self.continued = false;
    }

    /// `>file`, `2>&1`, `<<EOF`, `<<<word`.
    fn redirection(&mut self) {
        let op: String = std::iter::from_fn(|| self.peek(0).filter(|c| matches!(c, '<' | '>')).and_then(|_| self.take())).collect();
        let tabs = op == "<<" && self.peek(0) == Some('-');
        if tabs || self.peek(0).is_some_and(|c| c == '&' || c == '|') {
            self.take();
        }
        let target = self.target();
        if op == "<<" {
            self.wanted.push((target, tabs));
        }
    }

    /// The word after a redirection, which is no argument.
    fn target(&mut self) -> String {
        self.blanks();
        let draft = self.read_word();
        draft.pieces.iter().map(|(c, _)| *c).collect()
    }

    fn here_document(&mut self, end: &str, tabs: bool) {
        let (line, mut text) = (self.line(), String::new());
        while self.peek(0).is_some() {
            let mut row = String::new();
            while let Some(c) = self.take().filter(|c| *c != '\n') {
                row.push(c);
            }
            let row = if tabs { row.trim_start_matches('\t') } else { &row };
            if row == end {
                self.script.documents.push(Document { line, text });
                return;
            }
            text.push_str(row);
            text.push('\n');
        }
        self.wait(line, Waits::Document);
    }

    /// Within `[[ ]]` the operators are words.
    pub(super) fn in_test(&self) -> bool {
        self.words.first().is_some_and(|word| word.raw == "[[") && self.words.last().is_some_and(|word| word.raw != "]]")
    }

    fn word(&mut self) {
        let draft = self.read_word();
        let raw: String = self.chars[draft.start..self.at].iter().collect::<String>().replace("\\\n", "");
        // `2>`: a number before a redirection is a file descriptor.
        if !draft.quoted && raw.bytes().all(|b| b.is_ascii_digit()) && self.peek(0).is_some_and(|c| c == '<' || c == '>') {
            return;
        }
        if self.words.is_empty()
            && self.assignments.is_empty()
            && !draft.quoted
            && (BEFORE.contains(&raw.as_str()) || raw == "esac" || raw == "}")
        {
            return;
        }
        if self.words.is_empty() && is_assignment(&draft.pieces) {
            self.assignments.push(raw);
            return;
        }
        let pattern = draft.pieces.iter().any(|(c, bare)| *bare && matches!(c, '*' | '?' | '['));
        let text = |word: Vec<Piece>| -> String { word.into_iter().map(|(c, _)| c).collect() };
        let mut values: Vec<String> = braces::expand(&draft.pieces).into_iter().map(text).collect();
        if !draft.quoted {
            values.retain(|value| !value.is_empty());
        }
        self.words.push(Word { line: draft.line, column: draft.column, raw, values, pattern });
    }

    /// Ends the command, if one has begun.
    fn finish(&mut self, end: End) {
        let (words, assignments) = (std::mem::take(&mut self.words), std::mem::take(&mut self.assignments));
        let Some(first) = words.first() else {
            let line = self.line();
            self.script.assignments.extend(assignments.into_iter().map(|assignment| (line, assignment)));
            return;
        };
        if HEADS.contains(&first.raw.as_str()) {
            return;
        }
        let (line, end_line) = (first.line, words.last().map_or(first.line, |word| word.line));
        self.script.commands.push(Command { line, end_line, assignments, words, end });
    }
}
