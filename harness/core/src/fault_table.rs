//! What a fault made of a run, against what its scenario declares: the declared checks red for the declared reason, everything else as
//! it is without the fault. Pure.

use crate::scenario::model::{FaultOutcome, Scenario};
use crate::verdict::{Outcome, Verdict};

/// One run with a fault, compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Scenario.
    pub scenario: String,
    /// Fault.
    pub fault: String,
    /// Checks the fault turned, with what it made of them.
    pub turned: Vec<(String, Outcome)>,
    /// What differs from the declaration; empty = they agree.
    pub differences: Vec<String>,
}

/// Compares a run with `fault` with the same run without it.
pub fn compare(name: &str, scenario: &Scenario, fault: &str, without: &Verdict, with: &Verdict) -> Cell {
    let mut cell = Cell { scenario: name.to_owned(), fault: fault.to_owned(), turned: Vec::new(), differences: Vec::new() };
    let declared: Vec<_> = scenario.faults.iter().filter(|case| case.fault == fault).collect();
    for check in &with.checks {
        let before = without.checks.iter().find(|other| other.id == check.id).map(|other| other.outcome);
        if before != Some(check.outcome) {
            cell.turned.push((check.id.clone(), check.outcome));
        }
        let case = declared.iter().find(|case| case.turns.contains(&check.id));
        match case {
            None if before != Some(check.outcome) => {
                cell.differences.push(format!("{} became {:?} and is not declared: {}", check.id, check.outcome, check.because));
            }
            None => {}
            Some(case) => {
                let wanted = outcome(case.into);
                if check.outcome != wanted {
                    cell.differences.push(format!("{} is {:?}, declared {wanted:?}: {}", check.id, check.outcome, check.because));
                } else if !check.because.contains(&case.because) {
                    cell.differences.push(format!("{} gives another reason than `{}`: {}", check.id, case.because, check.because));
                }
            }
        }
    }
    let missing = declared.iter().flat_map(|case| &case.turns).filter(|id| !with.checks.iter().any(|check| check.id == **id));
    cell.differences.extend(missing.map(|id| format!("{id} is declared and was not judged")));
    cell
}

/// The table as Markdown: a row a fault, and what each scenario made of it.
pub fn markdown(cells: &[Cell]) -> String {
    let mut out = String::from("| fault | turns | agrees |\n|---|---|---|\n");
    let mut faults: Vec<&str> = Vec::new();
    for cell in cells {
        if !faults.contains(&cell.fault.as_str()) {
            faults.push(&cell.fault);
        }
    }
    for fault in faults {
        let of_fault: Vec<&Cell> = cells.iter().filter(|cell| cell.fault == fault).collect();
        let turns: Vec<String> = of_fault.iter().filter(|cell| !cell.turned.is_empty()).map(|cell| turned(cell)).collect();
        let agrees = if of_fault.iter().all(|cell| cell.differences.is_empty()) { "yes" } else { "NO" };
        let turns = if turns.is_empty() { "nothing".to_owned() } else { turns.join("; ") };
        out.push_str(&format!("| `{fault}` | {turns} | {agrees} |\n"));
    }
    out
}

fn turned(cell: &Cell) -> String {
    let named =
        |outcome: Outcome| -> Vec<&str> { cell.turned.iter().filter(|(_, seen)| *seen == outcome).map(|(id, _)| id.as_str()).collect() };
    let mut parts = Vec::new();
    for (outcome, word) in [(Outcome::Fail, "red"), (Outcome::Unknown, "unknown")] {
        let ids = named(outcome);
        if !ids.is_empty() {
            parts.push(format!("{word}: {}", ids.join(", ")));
        }
    }
    format!("`{}` ({})", cell.scenario, parts.join("; "))
}

/// Checks (`scenario/check`) that no fault turned: each proves nothing until one does.
pub fn never_turned(all: &[(String, Vec<String>)], cells: &[Cell]) -> Vec<String> {
    let mut left = Vec::new();
    for (scenario, checks) in all {
        for check in checks {
            let turned = cells.iter().any(|cell| cell.scenario == *scenario && cell.turned.iter().any(|(id, _)| id == check));
            if !turned {
                left.push(format!("{scenario}/{check}"));
            }
        }
    }
    left
}

fn outcome(declared: FaultOutcome) -> Outcome {
    match declared {
        FaultOutcome::Fail => Outcome::Fail,
        FaultOutcome::Unknown => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::verdict::CheckVerdict;

    fn scenario() -> Scenario {
        crate::scenario::parse(
            "scenario.yaml",
            r"
format: 1
title: t
intent: Passes if and only if it answers
covers: [{document: d, section: s, promise: p}]
install: {profile: p}
backends: {web: {port: 80}}
steps:
  - http: {id: answers, to: {clusterIp: web}, port: 80, host: web, expect: {status: 200}}
  - http: {id: again, to: {clusterIp: web}, port: 80, host: web, expect: {status: 200}}
faults:
  - {fault: backend-wrong-id, turns: [answers], because: wrong backend}
",
        )
        .unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    fn verdict(outcomes: [(&str, Outcome, &str); 2]) -> Verdict {
        let check = |(id, outcome, because): (&str, Outcome, &str)| CheckVerdict {
            id: id.into(),
            outcome,
            expected: String::new(),
            seen: String::new(),
            because: because.into(),
            rests_on: vec![],
            evidence: vec![],
        };
        let checks = outcomes.into_iter().map(check).collect();
        Verdict { version: 1, trial: "t".into(), outcome: Outcome::Pass, system: "s".into(), checks, troubles: vec![], remarks: vec![] }
    }

    fn check(with: [(&str, Outcome, &str); 2], differences: &[&str]) {
        let without = verdict([("answers", Outcome::Pass, ""), ("again", Outcome::Pass, "")]);
        let cell = compare("web", &scenario(), "backend-wrong-id", &without, &verdict(with));
        assert_eq!(cell.differences, differences);
    }

    #[test]
    fn declared_check_red_for_the_declared_reason_agrees() {
        check([("answers", Outcome::Fail, "the wrong backend answered"), ("again", Outcome::Pass, "")], &[]);
    }

    #[test]
    fn check_that_stays_green_differs() {
        check([("answers", Outcome::Pass, "fine"), ("again", Outcome::Pass, "")], &["answers is Pass, declared Fail: fine"]);
    }

    #[test]
    fn another_reason_differs() {
        let seen = [("answers", Outcome::Fail, "failed: refused"), ("again", Outcome::Pass, "")];
        check(seen, &["answers gives another reason than `wrong backend`: failed: refused"]);
    }

    #[test]
    fn check_that_is_not_declared_differs() {
        let seen = [("answers", Outcome::Fail, "the wrong backend"), ("again", Outcome::Unknown, "gone")];
        check(seen, &["again became Unknown and is not declared: gone"]);
    }

    #[test]
    fn check_no_fault_turns_is_named() {
        let cell = Cell { scenario: "web".into(), fault: "f".into(), turned: vec![("answers".into(), Outcome::Fail)], differences: vec![] };
        let all = [("web".to_owned(), vec!["answers".to_owned(), "again".to_owned()])];
        assert_eq!(never_turned(&all, &[cell]), ["web/again"]);
    }
}
