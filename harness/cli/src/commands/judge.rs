//! `plumb judge`: the verdict of a run folder, from its plan and evidence alone.

use plumb_engine::run::verdict_json;

use super::runs::Stored;
use crate::args::Judge;
use crate::exit::Exit;
use crate::output;

pub(crate) fn judge(judge: &Judge) -> anyhow::Result<Exit> {
    let stored = Stored::read(&judge.run)?;
    if let Some(trouble) = &stored.trouble {
        output::note(&format!("plumb: {trouble}"));
    }
    output::say(&verdict_json(&stored.verdict));
    Ok(Exit::of([stored.verdict.outcome]))
}
