//! A suite as JUnit XML, as CI systems read it: a suite a trial, a case a check. Unknown is an error, broken is a failure.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::{Report, Trial};
use crate::verdict::{CheckVerdict, Outcome};

/// Renders trials. The text ends with a line break.
///
/// # Errors
/// Only when a text cannot be written as XML.
pub fn suite(trials: &[Trial<'_>]) -> Result<String, String> {
    let mut junit = Junit::new("plumbline");
    for trial in trials {
        junit.add_test_suite(match trial {
            Trial::Ran(report) => ran(report),
            Trial::Skipped(plan) => skipped(&plan.trial, &trial.reasons().join("; ")),
        });
    }
    let mut text = junit.to_string().map_err(|error| format!("write JUnit XML: {error}"))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

fn ran(report: &Report<'_>) -> TestSuite {
    let verdict = report.verdict;
    let mut suite = TestSuite::new(verdict.trial.as_str());
    suite.set_time(Duration::from_millis(report.took_ms()));
    suite.add_property(("system", verdict.system.as_str()));
    suite.add_property(("profile", report.plan.profile.name.as_str()));
    suite.add_property(("seed", report.plan.seed.to_string().as_str()));
    suite.add_property(("folder", report.folder));
    for remark in &verdict.remarks {
        suite.add_property(("remark", remark.as_str()));
    }
    suite.add_test_cases(verdict.checks.iter().map(|check| case(report, check)));
    for trouble in &verdict.troubles {
        suite.add_test_case(bad("run", NonSuccessKind::Error, trouble, ""));
    }
    if verdict.checks.is_empty() && verdict.troubles.is_empty() {
        // A suite without a case reads as green in most viewers.
        suite.add_test_case(bad("run", NonSuccessKind::Error, "no check was made", ""));
    }
    suite
}

fn case(report: &Report<'_>, check: &CheckVerdict) -> TestCase {
    let kind = match check.outcome {
        Outcome::Pass => return TestCase::new(check.id.as_str(), TestCaseStatus::success()),
        Outcome::Fail => NonSuccessKind::Failure,
        Outcome::Unknown => NonSuccessKind::Error,
    };
    let detail = format!("expected: {}\nseen: {}\nevidence: {}", check.expected, check.seen, report.evidence(check));
    bad(&check.id, kind, &check.because, &detail)
}

fn bad(name: &str, kind: NonSuccessKind, message: &str, detail: &str) -> TestCase {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message);
    if !detail.is_empty() {
        status.set_description(detail);
    }
    TestCase::new(name, status)
}

fn skipped(trial: &str, reasons: &str) -> TestSuite {
    let mut status = TestCaseStatus::skipped();
    status.set_message(reasons);
    let mut suite = TestSuite::new(trial);
    suite.add_test_case(TestCase::new("skipped", status));
    suite
}
