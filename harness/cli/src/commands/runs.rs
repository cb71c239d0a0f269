//! Run folders from disk: plan and evidence, judged again.

use std::path::Path;

use anyhow::Context;
use plumb_core::evidence::{self, Observation};
use plumb_core::plan::{self, Plan};
use plumb_core::report::Report;
use plumb_core::verdict::{self, Verdict};

/// A run from disk.
pub(super) struct Stored {
    pub(super) folder: String,
    pub(super) plan: Plan,
    pub(super) observations: Vec<Observation>,
    pub(super) verdict: Verdict,
    /// What was wrong with the evidence file.
    pub(super) trouble: Option<String>,
}

impl Stored {
    /// Reads a run folder and judges it.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Stored> {
        let file = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).with_context(|| format!("read {}", path.display()))
        };
        let text = String::from_utf8(file("plan.json")?).with_context(|| format!("read {}/plan.json", folder.display()))?;
        let plan = plan::read(&text).with_context(|| format!("read {}/plan.json", folder.display()))?;
        let reading = evidence::read(&file("evidence.jsonl")?).with_context(|| format!("read {}/evidence.jsonl", folder.display()))?;
        let verdict = verdict::judge(&plan, &reading.observations);
        Ok(Stored { folder: folder.display().to_string(), plan, observations: reading.observations, verdict, trouble: reading.trouble })
    }

    pub(super) fn report(&self) -> Report<'_> {
        Report { plan: &self.plan, observations: &self.observations, verdict: &self.verdict, folder: &self.folder }
    }
}
