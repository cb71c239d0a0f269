//! `plumb sweep`: takes away what dead runs have left.

use std::path::Path;

use plumb_engine::ledger::{self, SweepOutcome};

use super::trials::shown;
use crate::exit::Exit;
use crate::output;

pub(crate) fn sweep() -> anyhow::Result<Exit> {
    let found = ledger::sweep()?;
    let mut failed = 0;
    for swept in &found {
        let what = match &swept.outcome {
            SweepOutcome::InUse(owner) => format!("in use by process {}", owner.pid),
            SweepOutcome::Removed => "removed".to_owned(),
            SweepOutcome::Failed(error) => {
                failed += 1;
                format!("failed to {error}")
            }
        };
        output::say(&format!("{}: {what}", shown(Path::new(&swept.what))));
    }
    output::say(&format!("{} found, {failed} could not be removed", found.len()));
    Ok(if failed == 0 { Exit::Pass } else { Exit::Fail })
}
