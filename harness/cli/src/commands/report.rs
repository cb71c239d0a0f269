//! `plumb report`: runs from disk in the form a reader wants.

use anyhow::{anyhow, bail};
use plumb_core::report::{Trial, github, html, junit, terminal};

use super::runs::Stored;
use crate::args::{Report, ReportFormat};
use crate::exit::Exit;
use crate::output;

pub(crate) fn report(report: &Report) -> anyhow::Result<Exit> {
    let runs = report.runs.iter().map(|folder| Stored::read(folder)).collect::<anyhow::Result<Vec<Stored>>>()?;
    let trials: Vec<Trial<'_>> = runs.iter().map(|run| Trial::Ran(run.report())).collect();
    let text = match report.format {
        ReportFormat::Terminal => {
            let mut text: String = runs.iter().map(|run| terminal::run(&run.report(), output::paint())).collect();
            if runs.len() > 1 {
                text.push_str(&terminal::suite(&trials, output::paint()));
            }
            text
        }
        ReportFormat::Json => serde_json::to_string_pretty(&runs.iter().map(|run| &run.verdict).collect::<Vec<_>>())?,
        ReportFormat::Junit => junit::suite(&trials).map_err(|error| anyhow!(error))?,
        ReportFormat::Github => github::suite(&trials),
        ReportFormat::Html => match runs.as_slice() {
            [run] => html::run(&run.report()),
            runs => bail!("write a page of {} runs: --format html takes one", runs.len()),
        },
    };
    output::say(&text);
    Ok(Exit::of(runs.iter().map(|run| run.verdict.outcome)))
}
