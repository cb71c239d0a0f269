//! Reports of a made-up run with one check of each outcome, as snapshots, and the rules that must hold for all of them.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;
use crate::evidence::{Fact, Observation};
use crate::mistakes::Paint;

fn plan(disposition: Disposition) -> Plan {
    let scenario = crate::scenario::parse(
        "scenario.yaml",
        r"
format: 1
title: The Gateway passes TLS through
intent: Passes if and only if client and backend hold the same session
covers: [{document: cni-cilium, section: HTTPS, promise: the backend gets the encrypted traffic}]
install: {profile: gateway-1.17.1}
backends: {web: {port: 80}}
steps:
  - http: {id: check-0, to: {clusterIp: web}, port: 80, host: web, expect: {status: 200}}
faults:
  - {fault: tls-terminates-passthrough, turns: [check-0], because: TLS session ends before}
  - {fault: capture-blind, turns: [check-0], into: unknown, because: saw nothing}
",
    )
    .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let profile = serde_json::from_value(json!({
        "format": 1, "name": "gateway-1.17.1", "title": "Gateway", "source": "s", "cilium": "1.17.1", "asWritten": [], "asMeant": {},
    }))
    .unwrap();
    Plan {
        version: crate::plan::PLAN,
        trial: "refnet::tls-passthrough".into(),
        name: "tls-passthrough".into(),
        provider: "refnet".into(),
        scenario,
        before: None,
        adopted: None,
        manifests: [].into(),
        profile,
        values: [].into(),
        unmodelled: vec!["operator.replicas".into()],
        variants: vec![],
        fault: Some("tls-terminates-passthrough".into()),
        seed: 7,
        budgets: crate::plan::Budgets::for_provider("refnet"),
        disposition,
    }
}

fn check(id: &str, outcome: Outcome) -> CheckVerdict {
    CheckVerdict {
        id: id.into(),
        outcome,
        expected: "the same keys".into(),
        seen: "other <keys> | and more".into(),
        because: "TLS session ends before the backend".into(),
        rests_on: vec![1, 2],
        evidence: vec!["blobs/hop.pcapng".into()],
    }
}

fn verdict(outcomes: &[Outcome]) -> Verdict {
    Verdict {
        version: 1,
        trial: "refnet::tls-passthrough".into(),
        outcome: outcomes.iter().copied().max().unwrap_or(Outcome::Unknown),
        system: format!("{NOT_CILIUM}: reference network 0.1.0"),
        checks: outcomes.iter().enumerate().map(|(n, outcome)| check(&format!("check-{n}"), *outcome)).collect(),
        troubles: vec![],
        remarks: vec!["the shared cluster plumb-a was replaced".into()],
    }
}

fn observations() -> Vec<Observation> {
    let at = |seq, at_ns, fact| Observation { seq, at_ns, step: None, fact, blobs: vec![] };
    vec![at(1, 0, Fact::StepBegan), at(2, 1_234_000_000, Fact::Ended)]
}

fn forms(outcomes: &[Outcome]) -> [String; 5] {
    let (plan, skipped) = (plan(Disposition::Run), plan(Disposition::Skip(vec!["kind is not there".into()])));
    let (verdict, observations) = (verdict(outcomes), observations());
    let report = Report { plan: &plan, observations: &observations, verdict: &verdict, folder: "runs/1" };
    let trials = [Trial::Ran(report), Trial::Skipped(&skipped)];
    [
        terminal::run(&report, Paint::Plain),
        terminal::suite(&trials, Paint::Plain),
        github::suite(&trials),
        html::run(&report),
        junit::suite(&trials).unwrap(),
    ]
}

const ALL: [Outcome; 3] = [Outcome::Pass, Outcome::Unknown, Outcome::Fail];

#[test]
fn terminal_report_names_check_expected_seen_and_evidence() {
    insta::assert_snapshot!(forms(&ALL)[0]);
}

#[test]
fn suite_counts_every_trial_and_says_why_one_was_skipped() {
    insta::assert_snapshot!(forms(&ALL)[1]);
}

#[test]
fn github_summary_escapes_what_markdown_would_read() {
    insta::assert_snapshot!(forms(&ALL)[2]);
}

#[test]
fn junit_has_a_failure_for_fail_and_an_error_for_unknown() {
    let xml = &forms(&ALL)[4];
    assert_eq!((xml.matches("<failure").count(), xml.matches("<error").count(), xml.matches("<skipped").count()), (1, 1, 1));
}

#[test]
fn run_without_checks_is_nowhere_green() {
    let [terminal, suite, github, html, junit] = forms(&[]);
    assert!(terminal.contains("undecided"), "{terminal}");
    assert!(suite.contains("0 passed") && github.contains("0 passed"));
    assert!(html.contains("<title>unknown"));
    assert!(junit.contains("no check was made"), "{junit}");
}

#[test]
fn first_line_says_that_this_is_not_cilium() {
    let [terminal, suite, github, html, _] = forms(&ALL);
    assert!(terminal.starts_with(NOT_CILIUM) && suite.starts_with(NOT_CILIUM));
    assert!(github.lines().next().unwrap().contains(NOT_CILIUM));
    assert!(html.find(NOT_CILIUM).unwrap() < html.find("<h1>").unwrap());
}

#[test]
fn page_escapes_what_was_seen() {
    assert!(forms(&ALL)[3].contains("other &lt;keys&gt;"));
}

#[test]
fn page_names_the_faults_that_turn_a_check() {
    let page = &forms(&ALL)[3];
    assert_eq!(page.matches("<dt>turned by</dt><dd>tls-terminates-passthrough, capture-blind (unknown)</dd>").count(), 1);
}

#[test]
fn colour_is_there_only_when_asked_for() {
    let (plan, verdict) = (plan(Disposition::Run), verdict(&ALL));
    let report = Report { plan: &plan, observations: &[], verdict: &verdict, folder: "runs/1" };
    assert!(!terminal::run(&report, Paint::Plain).contains('\u{1b}'));
    assert!(terminal::run(&report, Paint::Ansi).contains("\u{1b}[1;31m"));
}
