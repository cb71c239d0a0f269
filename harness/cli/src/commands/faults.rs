//! `plumb faults`: the switches of the reference network; with `--table`, the proof that each turns what the scenarios declare.

use std::path::Path;

use plumb_core::fault_table::{self, Cell};
use plumb_core::plan::{Disposition, Plan};
use plumb_core::verdict::{Outcome, Verdict};
use plumb_engine::library::{Entry, Library};
use plumb_refnet::fault::Fault;

use super::trials::{self, Ended};
use crate::args::{Choice, Faults};
use crate::exit::Exit;
use crate::output;
use crate::progress::Progress;

pub(crate) fn faults(scenarios: Option<&Path>, faults: &Faults) -> anyhow::Result<Exit> {
    if faults.table {
        return table(&Library::find(scenarios)?, faults);
    }
    let width = Fault::ALL.iter().map(|fault| fault.name().len()).max().unwrap_or(0);
    for fault in Fault::ALL {
        output::say(&format!("{:width$}  {}", fault.name(), fault.breaks()));
    }
    Ok(Exit::Pass)
}

/// Every scenario without a fault, then with every fault. A scenario that cannot run here even without one is left out, by name.
fn table(library: &Library, faults: &Faults) -> anyhow::Result<Exit> {
    let mut entries = trials::entries(library, &faults.names)?;
    let mut plans = trials::plans(library, &entries, &faults.choice, None)?;
    for plan in &plans {
        if let Disposition::Skip(reasons) = &plan.disposition {
            output::say(&format!("{} is left out: {}", plan.trial, reasons.join("; ")));
            entries.retain(|entry| entry.name != plan.name);
        }
    }
    plans.retain(|plan| plan.disposition == Disposition::Run);
    let chosen = if faults.faults.is_empty() { Fault::ALL } else { &faults.faults };
    for fault in chosen {
        plans.extend(trials::plans(library, &entries, &faults.choice, Some(fault.name()))?);
    }
    let progress = Progress::new();
    progress.show_downloads();
    let (ended, mut complaints) = perform(plans, &faults.choice, &progress)?;
    let base = |name: &str| ended.iter().find(|run| run.0.name == name && run.0.fault.is_none()).map(|run| &run.1);
    let mut cells = Vec::new();
    for (plan, with) in &ended {
        let Some(without) = base(&plan.name) else { continue };
        match &plan.fault {
            None if with.outcome != Outcome::Pass => complaints.push(format!("{} is not green without a fault", plan.trial)),
            None => {}
            Some(fault) => cells.push(fault_table::compare(&plan.name, &plan.scenario, fault, without, with)),
        }
    }
    // Only all faults together can show that none of them turns a check.
    if faults.faults.is_empty() {
        complaints.extend(fault_table::never_turned(&checks(&entries), &cells).into_iter().map(|check| format!("no fault turns {check}")));
    }
    Ok(show(&cells, &complaints))
}

/// Plans that ran, each with what it showed.
type Runs = Vec<(Plan, Verdict)>;

/// The runs there were, and a complaint for each there was not: a pair nobody ran shows nothing.
fn perform(plans: Vec<Plan>, choice: &Choice, progress: &Progress) -> anyhow::Result<(Runs, Vec<String>)> {
    let (mut runs, mut missing) = (Vec::new(), Vec::new());
    for ended in trials::perform(plans, choice, progress, &|_| {})? {
        match ended {
            Ended::Ran(closed) => runs.push((closed.plan.as_ref().clone(), closed.verdict)),
            Ended::Skipped(plan) | Ended::NotBegun(plan) => {
                let fault = plan.fault.as_deref().unwrap_or("no fault");
                missing.push(format!("{} with {fault} did not run", plan.trial));
            }
        }
    }
    Ok((runs, missing))
}

fn checks(entries: &[Entry]) -> Vec<(String, Vec<String>)> {
    let ids = |entry: &Entry| entry.scenario.promises().into_iter().map(|id| id.to_string()).collect();
    entries.iter().map(|entry| (entry.name.clone(), ids(entry))).collect()
}

fn show(cells: &[Cell], complaints: &[String]) -> Exit {
    output::say(&fault_table::markdown(cells));
    for cell in cells {
        for difference in &cell.differences {
            output::say(&format!("{} with {}: {difference}", cell.scenario, cell.fault));
        }
    }
    for complaint in complaints {
        output::say(complaint);
    }
    let differ = cells.iter().filter(|cell| !cell.differences.is_empty()).count();
    output::say(&format!("{} runs with a fault, {differ} differ from what is declared, {} complaints", cells.len(), complaints.len()));
    match (cells.len(), differ + complaints.len()) {
        (0, _) => Exit::NothingRan,
        (_, 0) => Exit::Pass,
        _ => Exit::Fail,
    }
}
