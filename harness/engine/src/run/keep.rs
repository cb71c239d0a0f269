//! A lab that stays after its last step: until it expires, somebody ends it, or it ends by itself. The verdict is on disk by then; what
//! the lab can still tell goes into `kept/` of the run folder before it is taken away.

use std::path::PathBuf;
use std::time::Duration;

use plumb_core::plan::Plan;
use serde::{Deserialize, Serialize};

use super::{Event, Listener, Stop};
use crate::cluster::collect;
use crate::folder::RunFolder;
use crate::ledger::{Ledger, Line};
use crate::provider::{Entrance, Lab};
use crate::{clock, redact};

/// How long a lab is kept, and who writes down how to look into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// Counted from the last step.
    pub span: Duration,
    /// Folder, private to this user, for what looking into it needs; it goes with the lab.
    pub folder: PathBuf,
}

/// A lab that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// How to look into it.
    pub entrance: Entrance,
    /// When it is taken away at the latest, seconds since 1970.
    pub until_s: i64,
}

/// How a kept lab ended, `kept/ended.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// When, seconds since 1970.
    pub at_s: i64,
    /// Why.
    pub why: String,
    /// Files with what was collected, in the run folder.
    pub collected: Vec<String>,
    /// What went wrong on the way.
    pub troubles: Vec<String>,
}

/// In the run folder: what is collected of a kept lab, and how it ended.
pub const FOLDER: &str = "kept";
/// How it ended.
pub const ENDED: &str = "kept/ended.json";

/// How often the wall clock is looked at: a machine that slept must not keep a lab for longer.
const LOOK: Duration = Duration::from_secs(20);

impl Keep {
    /// When nobody wants the lab of a plan any longer, however long its steps take. What the janitor and `plumb sweep` go by.
    pub(super) fn at_the_latest(&self, plan: &Plan) -> i64 {
        let budgets = &plan.budgets;
        let limits_ms = [budgets.lab_ms, budgets.backends_ms, budgets.trial_ms, budgets.collect_ms, budgets.close_ms];
        let limits = Duration::from_millis(limits_ms.iter().fold(0, |sum, limit| u64::saturating_add(sum, *limit)));
        after(limits.saturating_add(self.span))
    }
}

/// This time from now, seconds since 1970.
fn after(span: Duration) -> i64 {
    clock::unix_s().saturating_add(i64::try_from(span.as_secs()).unwrap_or(i64::MAX))
}

/// Keeps a lab and closes it; everything that went wrong.
pub(super) async fn keep(
    lab: Lab,
    keep: &Keep,
    plan: &Plan,
    folder: &RunFolder,
    ledger: &Ledger,
    stop: &Stop,
    listener: &Listener,
) -> Vec<String> {
    let mut troubles = Vec::new();
    let until_s = after(keep.span);
    let entrance = match ledger.write(&Line::Expires { at_s: until_s }) {
        Ok(()) => lab.entrance(&keep.folder).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let why = match entrance {
        Ok(entrance) => {
            listener(Event::Kept(Box::new(Kept { entrance, until_s })));
            tokio::select! {
                () = stop.stopped() => stop.reason().unwrap_or_else(|| "its owner".to_owned()),
                () = reached(until_s) => "it expired".to_owned(),
                () = lab.ended() => "it ended by itself or by somebody else's hand".to_owned(),
            }
        }
        Err(error) => {
            troubles.push(error);
            "nobody could look into it".to_owned()
        }
    };
    listener(Event::Phase("collect"));
    let limit = Duration::from_millis(plan.budgets.collect_ms);
    let mut collected = Vec::new();
    if tokio::time::timeout(limit, gather(&lab, plan, folder, &mut collected, &mut troubles)).await.is_err() {
        troubles.push(format!("collect everything: it took longer than {} ms", limit.as_millis()));
    }
    let mut ended = Ended { at_s: clock::unix_s(), why, collected, troubles };
    write_end(folder, &mut ended);
    listener(Event::Phase("close"));
    if let Err(trouble) = super::close(lab, plan, ledger).await {
        ended.troubles.push(format!("{}: {}", trouble.operation, trouble.message));
        write_end(folder, &mut ended);
    }
    ended.troubles
}

/// Waits for a time of the wall clock.
async fn reached(until_s: i64) {
    loop {
        let left = u64::try_from(until_s.saturating_sub(clock::unix_s())).unwrap_or(0);
        if left == 0 {
            return;
        }
        tokio::time::sleep(LOOK.min(Duration::from_secs(left))).await;
    }
}

async fn gather(lab: &Lab, plan: &Plan, folder: &RunFolder, collected: &mut Vec<String>, troubles: &mut Vec<String>) {
    if let Err(source) = std::fs::create_dir_all(folder.file(FOLDER)) {
        return troubles.push(format!("create {}: {source}", folder.file(FOLDER).display()));
    }
    let mut write = |name: &str, text: &str, troubles: &mut Vec<String>| match folder.write_into(FOLDER, name, text.as_bytes()) {
        Ok(file) => collected.push(file),
        Err(error) => troubles.push(error.to_string()),
    };
    match lab.client() {
        Ok(client) => {
            let limit = Duration::from_millis(plan.budgets.api_ms);
            let objects = collect::objects(&client, &lab.namespaces(), limit).await;
            write("objects.json", &serde_json::to_string_pretty(&objects.by_kind).unwrap_or_default(), troubles);
            troubles.extend(objects.missing.into_iter().map(|missing| format!("collect {missing}")));
        }
        Err(error) => troubles.push(error.to_string()),
    }
    match lab.collect().await {
        Ok(texts) => texts.iter().for_each(|(name, text)| write(&format!("{name}.log"), &redact::text(text), troubles)),
        Err(error) => troubles.push(error.to_string()),
    }
}

fn write_end(folder: &RunFolder, ended: &mut Ended) {
    let text = serde_json::to_vec_pretty(ended).unwrap_or_default();
    if let Err(error) = folder.write(ENDED, &text) {
        ended.troubles.push(error.to_string());
    }
}
