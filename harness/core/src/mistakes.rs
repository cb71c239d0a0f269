//! Mistakes of an author: every one of a file at once, each with its place, an excerpt and, where there is one, a cure.
//!
//! Shared by scenarios, profiles and manifests. It renders and does nothing else; colour only when asked for.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// More than so many are counted, not shown.
const SHOWN_MAX: usize = 100;

/// Longest line of an excerpt, in bytes; longer ones are cut around the place.
const LINE_MAX: usize = 160;

/// Whether text for people has colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Paint {
    /// None: pipes, files, tests.
    #[default]
    Plain,
    /// ANSI colours: terminals.
    Ansi,
}

/// One mistake and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Bytes of the text it is about.
    pub span: Range<usize>,
    /// What is wrong: what, expected, actual.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

/// Every mistake of one file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    /// What the file is called in messages.
    pub source_name: String,
    /// Its text.
    text: String,
    /// The mistakes; at least one.
    pub list: Vec<Mistake>,
}

impl Mistakes {
    /// Takes the mistakes of `text` and puts them in order.
    pub fn new(source_name: &str, text: &str, mut list: Vec<Mistake>) -> Mistakes {
        list.sort_by(|a, b| (a.line, a.column, &a.message).cmp(&(b.line, b.column, &b.message)));
        list.dedup();
        Mistakes { source_name: source_name.to_owned(), text: text.to_owned(), list }
    }

    /// A mistake that has no place of its own: the file as a whole.
    pub fn whole(source_name: &str, message: String, hint: Option<String>) -> Mistakes {
        let list = vec![Mistake { line: 1, column: 1, span: 0..0, message, hint }];
        Mistakes { source_name: source_name.to_owned(), text: String::new(), list }
    }

    /// As text for people, one block a mistake and a last line with their number.
    pub fn render(&self, paint: Paint) -> String {
        let renderer = match paint {
            Paint::Plain => Renderer::plain(),
            Paint::Ansi => Renderer::styled(),
        };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut out = String::new();
        for mistake in self.list.iter().take(SHOWN_MAX) {
            out.push_str(&self.block(&renderer, mistake));
            out.push_str("\n\n");
        }
        if self.list.len() > SHOWN_MAX {
            out.push_str(&format!("... and {} more\n", self.list.len() - SHOWN_MAX));
        }
        let noun = if self.list.len() == 1 { "mistake" } else { "mistakes" };
        out.push_str(&format!("{}: {} {noun}", self.source_name, self.list.len()));
        out
    }

    fn block(&self, renderer: &Renderer, mistake: &Mistake) -> String {
        let (excerpt, span) = self.excerpt(mistake);
        let snippet =
            Snippet::source(excerpt).line_start(mistake.line).path(&self.source_name).annotation(AnnotationKind::Primary.span(span));
        let mut group = Level::ERROR.primary_title(mistake.message.as_str()).element(snippet);
        if let Some(hint) = &mistake.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        let shown = renderer.render(&[group]);
        // A cut line would shift the column, so the true place is put in.
        let place = format!("{}:{}:{}", self.source_name, mistake.line, mistake.column);
        replace_place(&shown, &format!("{}:{}:", self.source_name, mistake.line), &place)
    }

    /// The line of a mistake, cut when it is very long, and the span within it.
    fn excerpt(&self, mistake: &Mistake) -> (String, Range<usize>) {
        let text = &self.text;
        let start = floor_boundary(text, mistake.span.start);
        let end = floor_boundary(text, mistake.span.end.max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find(['\n', '\r']).map_or(text.len(), |at| start + at);
        let from = if start - line_start > LINE_MAX / 2 { floor_boundary(text, start - LINE_MAX / 2) } else { line_start };
        let to = floor_boundary(text, line_end.min(from + LINE_MAX));
        let end = end.clamp(start, to.max(start));
        (text[from..to].to_owned(), start - from..(end - from).max(start - from))
    }
}

/// Puts `place` where the renderer wrote its own `prefix` and a column.
fn replace_place(shown: &str, prefix: &str, place: &str) -> String {
    match shown.find(prefix) {
        None => shown.to_owned(),
        Some(at) => {
            let rest = &shown[at + prefix.len()..];
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            format!("{}{place}{}", &shown[..at], &rest[digits..])
        }
    }
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Paint::Plain))
    }
}

impl std::error::Error for Mistakes {}

/// The one of `known` that is nearest to `given`, if any is near enough to be what was meant.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Bounds the cost on hostile input: nothing this long is a typo.
    if given.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&given.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(score, _)| *score >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
