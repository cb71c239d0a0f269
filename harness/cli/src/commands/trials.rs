//! Trials from names to closed runs: every mistake of every scenario first, then labs side by side.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use plumb_core::plan::{Disposition, Plan};
use plumb_core::report::{Report, Trial};
use plumb_core::values::{Values, merge, parse_set};
use plumb_engine::library::{Ask, Entry, Library};
use plumb_engine::parts::Given;
use plumb_engine::provider::kind::Sharing;
use plumb_engine::run::{Cleanup, Closed, Setup, Stop};
use plumb_engine::{provider, suite};

use crate::args::Choice;
use crate::progress::Progress;

/// A trial that ended, or was never begun.
pub(super) enum Ended {
    /// It ran.
    Ran(Box<Closed>),
    /// Its plan says why it was skipped.
    Skipped(Box<Plan>),
    /// The run was stopped before it began: nothing is known of it.
    NotBegun(Box<Plan>),
}

impl Ended {
    /// As reports want it; `folder` is the run folder's path as text.
    pub(super) fn trial<'a>(&'a self, folder: &'a str) -> Trial<'a> {
        match self {
            Ended::Skipped(plan) | Ended::NotBegun(plan) => Trial::Skipped(plan),
            Ended::Ran(closed) => {
                let Closed { plan, observations, verdict, .. } = closed.as_ref();
                Trial::Ran(Report { plan, observations, verdict, folder })
            }
        }
    }

    /// The run folder as text; empty when it was skipped.
    pub(super) fn folder(&self) -> String {
        match self {
            Ended::Ran(closed) => shown(&closed.folder),
            Ended::Skipped(_) | Ended::NotBegun(_) => String::new(),
        }
    }
}

/// A path as one would type it here.
pub(super) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// Scenarios by name, all when none is named; the mistakes of all of them at once.
pub(super) fn entries(library: &Library, names: &[String]) -> anyhow::Result<Vec<Entry>> {
    let all = library.names()?;
    let names = if names.is_empty() { &all } else { names };
    let entries = library.scenarios(names);
    together(entries.as_ref().err().into_iter().flatten().map(ToString::to_string).collect())?;
    Ok(entries.unwrap_or_default())
}

/// Helm values from `--values` and, over them, `--set`; every bad one is named.
pub(super) fn values(given: &Given, texts: &[String]) -> anyhow::Result<Values> {
    let (mut values, mut mistakes) = (Values::new(), Vec::new());
    match given.read_values() {
        Ok(read) => values = read,
        Err(errors) => mistakes.extend(errors.iter().map(ToString::to_string)),
    }
    for text in texts {
        match parse_set(text) {
            Ok((key, value)) => {
                merge(&mut values, &Values::from([(key, value)]));
            }
            Err(error) => mistakes.push(format!("read --set: {error}")),
        }
    }
    together(mistakes)?;
    Ok(values)
}

/// One error of all mistakes; nothing of none.
pub(super) fn together(mistakes: Vec<String>) -> anyhow::Result<()> {
    if mistakes.is_empty() {
        return Ok(());
    }
    bail!("{}", mistakes.join("\nplumb: failed to "))
}

/// Plans `entries` with one provider, profile and fault.
pub(super) fn plans(library: &Library, entries: &[Entry], choice: &Choice, fault: Option<&str>) -> anyhow::Result<Vec<Plan>> {
    let given = choice.parts.given();
    let values = values(&given, &choice.set)?;
    let found = provider::find(&choice.provider, &given)?;
    let (mut plans, mut mistakes) = (Vec::new(), Vec::new());
    for entry in entries {
        let ask = Ask {
            provider: &choice.provider,
            profile: choice.profile.as_deref(),
            fault,
            seed: choice.seed,
            values: values.clone(),
            cilium: given.cilium_version.as_deref(),
            unavailable: &found.unavailable,
            found: found.capability.as_ref(),
        };
        match library.plan(entry, &ask) {
            Ok(plan) => {
                if plan.disposition == Disposition::Run {
                    mistakes.extend(provider::mistakes(&plan, &given));
                }
                plans.push(plan);
            }
            Err(error) => mistakes.push(error.to_string()),
        }
    }
    // Several scenarios make the same mistake with the same part.
    let mut seen = std::collections::BTreeSet::new();
    mistakes.retain(|mistake| seen.insert(mistake.clone()));
    together(mistakes)?;
    Ok(plans)
}

/// What to do with a trial the moment it has ended.
pub(super) type AtEnd<'a> = &'a (dyn Fn(&Ended) + Sync);

/// Runs plans side by side, in the order given; the results keep that order.
///
/// # Errors
/// The first run folder or ledger that could not be made: what has begun is closed, the rest is not begun.
pub(super) fn perform(plans: Vec<Plan>, choice: &Choice, progress: &Progress, at_end: AtEnd<'_>) -> anyhow::Result<Vec<Ended>> {
    let stop = Stop::default();
    crate::signals::watch(&stop)?;
    let jobs = choice.jobs.unwrap_or_else(suite::labs_at_once);
    let ended = suite::side_by_side(&plans, jobs, &stop, |plan| {
        let ended = one(plan, choice, &stop, progress);
        match &ended {
            Ok(ended) => at_end(ended),
            Err(_) => stop.because("another run could not begin"),
        }
        ended
    });
    plans.into_iter().zip(ended).map(|(plan, ended)| ended.unwrap_or_else(|| Ok(not_begun(plan)))).collect()
}

/// A trial nobody came to, with that as its reason.
fn not_begun(plan: Plan) -> Ended {
    let reasons = vec!["not begun: the run was stopped".to_owned()];
    Ended::NotBegun(Box::new(Plan { disposition: Disposition::Skip(reasons), ..plan }))
}

fn one(plan: &Plan, choice: &Choice, stop: &Stop, progress: &Progress) -> anyhow::Result<Ended> {
    if let Disposition::Skip(_) = plan.disposition {
        return Ok(Ended::Skipped(Box::new(plan.clone())));
    }
    let sharing = choice.share.map_or(Sharing::Alone, |idle| Sharing::For(Duration::from_secs(idle)));
    let setup = Setup { cleanup: Cleanup::Close, given: choice.parts.given(), sharing };
    for finding in plumb_core::profile::foreseen(plan) {
        progress.note(&format!("{}: {finding}", plan.trial));
    }
    let (listener, ended) = progress.trial(&plan.trial);
    let closed = suite::run_here(plan.clone(), &choice.out, &setup, stop, listener)?;
    drop(ended);
    Ok(Ended::Ran(Box::new(closed)))
}
