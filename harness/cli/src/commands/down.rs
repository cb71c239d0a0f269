//! `plumb down`: collects from labs that are up and takes them away.

use plumb_engine::labs::down::{self, DownError};
use plumb_engine::labs::{self, Record};

use super::trials::shown;
use crate::args::Down;
use crate::exit::Exit;
use crate::output;

pub(crate) fn down(down: &Down) -> anyhow::Result<Exit> {
    let wanted = if down.all { labs::all()? } else { vec![labs::find(down.name.as_deref())?] };
    if wanted.is_empty() {
        output::say("no lab is up");
        return Ok(Exit::NothingRan);
    }
    let mut exit = Exit::Pass;
    for record in &wanted {
        match down::down(record) {
            Ok(ended) => {
                output::say(&told(record, &ended));
                if !ended.left.is_empty() {
                    exit = Exit::Fail;
                }
            }
            // With --all, one that is in use is left alone.
            Err(error @ DownError::InUse { .. }) if down.all => output::say(&format!("{}: left alone: {error}", record.name)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(exit)
}

fn told(record: &Record, ended: &down::Down) -> String {
    let mut lines = vec![format!("{}: ended", record.name)];
    if let Some(run) = &ended.run {
        lines.push(format!("  collected {} files into {}", ended.collected.len(), shown(&run.join("kept"))));
    }
    lines.extend(ended.taken.iter().map(|resource| format!("  took away {resource}")));
    lines.extend(ended.left.iter().map(|resource| format!("  LEFT {resource}")));
    lines.extend(ended.troubles.iter().map(|trouble| format!("  failed to {trouble}")));
    lines.join("\n")
}
