//! One word: its quotes, escapes and substitutions.

use super::Waits;
use super::braces::Piece;
use super::lexer::Lexer;

/// A word before its braces are expanded.
pub(super) struct Draft {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) start: usize,
    pub(super) pieces: Vec<Piece>,
    pub(super) quoted: bool,
}

impl Lexer<'_> {
    pub(super) fn read_word(&mut self) -> Draft {
        let mut draft = Draft { line: self.line(), column: self.at - self.row_start, start: self.at, pieces: Vec::new(), quoted: false };
        let in_test = self.in_test();
        self.continued = false;
        while let Some(c) = self.peek(0) {
            if self.continuation() {
                continue;
            }
            let array = c == '(' && draft.pieces.last() == Some(&('=', true)) && is_assignment(&draft.pieces);
            let process = matches!(c, '<' | '>') && self.peek(1) == Some('(');
            match c {
                ' ' | '\t' | '\n' => break,
                _ if array || process => {
                    self.verbatim(&mut draft, if process { 2 } else { 1 }, '(', ')');
                }
                ';' => break,
                '&' | '|' | '(' | ')' | '<' | '>' if !in_test => break,
                '\\' => {
                    self.take();
                    draft.quoted = true;
                    let next = self.take();
                    draft.pieces.extend(next.map(|c| (c, false)));
                }
                '\'' => self.single(&mut draft, false),
                '"' => self.double(&mut draft),
                '$' if self.peek(1) == Some('"') => _ = self.take(),
                '$' if self.peek(1) == Some('\'') => {
                    self.take();
                    self.single(&mut draft, true);
                }
                '$' if self.peek(1) == Some('(') => self.verbatim(&mut draft, 2, '(', ')'),
                '$' if self.peek(1) == Some('{') => self.verbatim(&mut draft, 2, '{', '}'),
                '`' => self.backticks(&mut draft),
                _ => {
                    self.take();
                    draft.pieces.push((c, true));
                }
            }
            self.continued = false;
        }
        draft
    }

    /// `'...'`, and `$'...'`, in which a backslash keeps the quote open.
    fn single(&mut self, draft: &mut Draft, ansi: bool) {
        let line = self.line();
        self.take();
        draft.quoted = true;
        loop {
            match self.take() {
                Some('\\') if ansi => draft.pieces.extend(self.take().map(|c| (c, false))),
                Some('\'') => return,
                Some(c) => draft.pieces.push((c, false)),
                None => return self.wait(line, Waits::Quote('\'')),
            }
        }
    }

    fn double(&mut self, draft: &mut Draft) {
        let line = self.line();
        self.take();
        draft.quoted = true;
        loop {
            match self.peek(0) {
                None => return self.wait(line, Waits::Quote('"')),
                Some('"') => {
                    self.take();
                    return;
                }
                Some('\\') if self.peek(1) == Some('\n') => {
                    self.take();
                    self.take();
                }
                Some('\\') if matches!(self.peek(1), Some('$' | '`' | '"' | '\\')) => {
                    self.take();
                    let next = self.take();
                    draft.pieces.extend(next.map(|c| (c, false)));
                }
                Some('$') if self.peek(1) == Some('(') => self.verbatim(draft, 2, '(', ')'),
                Some('$') if self.peek(1) == Some('{') => self.verbatim(draft, 2, '{', '}'),
                Some('`') => self.backticks(draft),
                Some(_) => {
                    let next = self.take();
                    draft.pieces.extend(next.map(|c| (c, false)));
                }
            }
        }
    }

    /// A substitution, as it is written, up to the bracket that closes it.
    fn verbatim(&mut self, draft: &mut Draft, head: usize, open: char, close: char) {
        let (line, start, mut depth) = (self.line(), self.at, 1usize);
        (0..head).for_each(|_| _ = self.take());
        let mut quote: Option<char> = None;
        while depth > 0 {
            let Some(c) = self.take() else {
                self.wait(line, Waits::Quote(close));
                break;
            };
            match (quote, c) {
                (_, '\\') if quote != Some('\'') => _ = self.take(),
                (Some(mark), c) if c == mark => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(c),
                (None, c) if c == open => depth += 1,
                (None, c) if c == close => depth -= 1,
                _ => {}
            }
        }
        draft.pieces.extend(self.chars[start..self.at].iter().map(|c| (*c, false)));
    }

    fn backticks(&mut self, draft: &mut Draft) {
        let (line, start) = (self.line(), self.at);
        self.take();
        loop {
            match self.take() {
                Some('`') => break,
                Some('\\') => _ = self.take(),
                Some(_) => {}
                None => {
                    self.wait(line, Waits::Quote('`'));
                    break;
                }
            }
        }
        draft.pieces.extend(self.chars[start..self.at].iter().map(|c| (*c, false)));
    }
}

/// `NAME=`, `NAME+=`, `NAME[...]=` at the front of a word, all of it bare.
pub(super) fn is_assignment(pieces: &[Piece]) -> bool {
    let Some(equals) = pieces.iter().position(|piece| *piece == ('=', true)) else { return false };
    let name: String = pieces[..equals].iter().map(|(c, bare)| if *bare { *c } else { ' ' }).collect();
    let name = name.strip_suffix('+').unwrap_or(&name);
    let name = name.split_once('[').filter(|(_, rest)| rest.ends_with(']')).map_or(name, |(name, _)| name);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(plain)
}
