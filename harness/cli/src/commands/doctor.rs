//! `plumb doctor`: what this machine lacks, what that stops, and the command that cures it.

use plumb_engine::doctor::{self, State};

use crate::exit::Exit;
use crate::output;

pub(crate) fn doctor() -> anyhow::Result<Exit> {
    let findings = doctor::examine();
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    let mut refnet = true;
    for finding in &findings {
        let (word, more) = match &finding.state {
            State::There(text) => ("ok", text.clone()),
            State::Lacking { seen, stops, cure } => ("lacking", format!("{seen}; stops {stops}; cure: {cure}")),
        };
        refnet &= finding.what != doctor::REFERENCE_NETWORK || matches!(finding.state, State::There(_));
        output::say(&format!("{word:8}{:width$}  {more}", finding.what));
    }
    let lacking = findings.iter().filter(|finding| matches!(finding.state, State::Lacking { .. })).count();
    output::say(&format!("{} things looked at, {lacking} lacking", findings.len()));
    Ok(if refnet { Exit::Pass } else { Exit::NothingRan })
}
