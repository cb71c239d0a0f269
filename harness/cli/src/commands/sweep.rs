//! `plumb sweep`: takes away what dead runs have left.

use std::path::Path;

use plumb_engine::ledger::{self, SweepOutcome};
use plumb_engine::provider::kubeconfig;

use super::trials::shown;
use crate::args::Sweep;
use crate::exit::Exit;
use crate::output;

pub(crate) fn sweep(sweep: &Sweep) -> anyhow::Result<Exit> {
    let mut found = ledger::sweep()?;
    if sweep.cluster {
        let (cluster, swept) = kubeconfig::sweep::sweep(&sweep.given()).map_err(anyhow::Error::msg)?;
        output::say(&format!("looked into {cluster}"));
        found.extend(swept);
    } else {
        output::say("no cluster that runs was looked into; --cluster looks into that of the kubeconfig's context");
    }
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
