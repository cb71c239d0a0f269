//! What goes to standard output and standard error, and whether it has colours.

use std::io::{self, IsTerminal, Write};

use plumb_core::mistakes::Paint;

/// Writes text to standard output. A reader that has gone away (`| head`) is no error.
pub(crate) fn say(text: &str) {
    let mut out = io::stdout().lock();
    // See above; a full disk behind a redirection shows in the missing text.
    let _ = out.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
    let _ = out.flush();
}

/// Writes a line of progress or warning to standard error.
pub(crate) fn note(text: &str) {
    // Nobody is there to be told when standard error is gone.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// An error and its causes, as `plumb: failed to ...`.
pub(crate) fn complain(error: &anyhow::Error) {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let mut text = String::new();
    for cause in &causes {
        // Errors that already tell their source in their own words are not repeated.
        if !text.contains(cause.as_str()) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(cause);
        }
    }
    note(&format!("plumb: failed to {text}"));
}

/// Colour for standard output: only on a terminal, and not when NO_COLOR is set (no-color.org).
pub(crate) fn paint() -> Paint {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stdout().is_terminal() && !refused { Paint::Ansi } else { Paint::Plain }
}
