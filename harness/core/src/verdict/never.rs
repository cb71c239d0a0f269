//! `never`: a payload must not be readable on a wire. A sighting fails whatever the controls say; not seeing it counts only with them.

use super::finding::Finding;
use super::phrases;
use super::run::Run;
use crate::evidence::{Observation, Seen};
use crate::probe::{CanaryHits, CaptureSummary, HttpOutcome};
use crate::scenario::model::{Ciphertext, Never, Watch};
use crate::steps::ProbeRef;

pub(super) fn never(run: &Run<'_>, step: &Never) -> Finding {
    let (hidden, control) = (run.capture(&step.r#in), run.capture(&step.seen_in));
    let probes = run.probes(&step.canary);
    let rests: Vec<&Observation> =
        hidden.observations().chain(control.observations()).chain(probes.iter().map(|(observation, _)| *observation)).collect();
    let finding = decide(run, step, &hidden, &control);
    finding.resting_on(rests)
}

type Capture<'a> = super::run::Watched<'a, &'a CaptureSummary>;

fn decide(run: &Run<'_>, step: &Never, hidden: &Capture<'_>, control: &Capture<'_>) -> Finding {
    let canary = &step.canary;
    if let Some((_, summary)) = &hidden.report
        && let Some(hits) = hits(summary, canary)
        && hits.frames() > 0
    {
        return sighting(canary, &step.r#in, summary, hits);
    }
    let unknown = |because: String| Finding::unknown(seen(step, hidden, control), because);
    if let Some(why) = hidden.gap(&step.r#in).or_else(|| control.gap(&step.seen_in)) {
        return unknown(why);
    }
    let (Some((_, summary)), Some((_, positive))) = (&hidden.report, &control.report) else {
        return unknown(format!("{} `{}`", phrases::NO_WATCH, step.r#in));
    };
    if hits(summary, canary).is_none() {
        return unknown(format!("`{}` did not look for the payload of `{canary}`", step.r#in));
    }
    if let Err(why) = answered(run, canary) {
        return unknown(why);
    }
    let controlled = hits(positive, canary).map_or(0, |hits| hits.frames());
    if controlled == 0 {
        let where_to = format!("`{}` ({}) read {} frames", step.seen_in, positive.interface, positive.frames);
        let dropped = summary.dropped.saturating_add(positive.dropped);
        let lost = if dropped > 0 { format!("; {}: {dropped} dropped", phrases::LOST) } else { String::new() };
        return unknown(format!("{}: {where_to}, none with it{lost}", phrases::NO_CONTROL));
    }
    if summary.dropped > 0 {
        return unknown(format!("{}: `{}` dropped {}", phrases::LOST, step.r#in, summary.dropped));
    }
    if summary.frames == 0 {
        return unknown(format!("{}: `{}` ({})", phrases::BLIND, step.r#in, summary.interface));
    }
    match ciphertext(run, step, summary, controlled) {
        Err(why) => unknown(why),
        Ok(instead) => Finding::pass(
            seen(step, hidden, control),
            format!("not readable on {}, {instead}, while the control saw it {controlled} times", summary.interface),
        ),
    }
}

fn hits<'a>(summary: &'a CaptureSummary, canary: &str) -> Option<&'a CanaryHits> {
    summary.canaries.iter().find(|hits| hits.name == canary)
}

fn sighting(canary: &str, watch: &str, summary: &CaptureSummary, hits: &CanaryHits) -> Finding {
    let first = hits.first.first().map(|frame| format!("; first in frame {}: {}", frame.number, frame.what)).unwrap_or_default();
    let seen = format!("{} frames in the clear and {} inside VXLAN on {} (`{watch}`)", hits.clear, hits.vxlan, summary.interface);
    let (phrase, count) = if hits.clear > 0 { (phrases::CLEAR, hits.clear) } else { (phrases::IN_VXLAN, hits.vxlan) };
    let because = format!("{phrase}: {count} frames with that of `{canary}` on {}{first}", summary.interface);
    Finding::fail(seen, because)
}

fn seen(step: &Never, hidden: &Capture<'_>, control: &Capture<'_>) -> String {
    let one = |name: &str, watched: &Capture<'_>| match &watched.report {
        None => format!("`{name}`: nothing recorded"),
        Some((_, summary)) => {
            let found = hits(summary, &step.canary).map_or(0, |hits| hits.frames());
            let lost = if summary.dropped > 0 { format!(", {} dropped", summary.dropped) } else { String::new() };
            format!("`{name}` ({}): payload in {found} of {} frames{lost}", summary.interface, summary.frames)
        }
    };
    let wireguard = hidden.report.as_ref().map_or(0, |(_, summary)| summary.wireguard.data);
    format!("{}; {}; {wireguard} WireGuard data messages", one(&step.r#in, hidden), one(&step.seen_in, control))
}

/// The probe carried a payload over the wire and back, at least once.
fn answered(run: &Run<'_>, canary: &str) -> Result<(), String> {
    let came_back = run.probes(canary).into_iter().any(|(_, probe)| match &probe.seen {
        Seen::Http(results) => results.iter().any(|result| matches!(result.outcome, HttpOutcome::Answer(_))),
        Seen::HttpTally(report) => report.answered > 0,
        Seen::L4(report) => report.attempts.iter().any(|attempt| attempt.rtt_us.is_some()),
        _ => false,
    });
    if came_back { Ok(()) } else { Err(format!("{}: `{canary}`", phrases::UNANSWERED)) }
}

/// Whether the ciphertext is there that the payload must have become, in words.
fn ciphertext(run: &Run<'_>, step: &Never, summary: &CaptureSummary, controlled: u64) -> Result<String, String> {
    match step.instead {
        Ciphertext::Nothing => Ok(format!("{} other frames crossed it", summary.frames)),
        Ciphertext::Esp => enough("ESP packets", summary.kinds.get("esp").map_or(0, |volume| volume.frames), controlled),
        Ciphertext::Tls => {
            enough("TLS application data records", summary.tls_records.get("applicationData").copied().unwrap_or(0), controlled)
        }
        Ciphertext::Wireguard => wireguard(run, step, summary, controlled),
    }
}

fn enough(what: &str, seen: u64, controlled: u64) -> Result<String, String> {
    match seen {
        0 => Err(format!("{}: no {what}", phrases::NO_CIPHERTEXT)),
        seen if seen < controlled => Err(format!("{}: {seen} {what} for {controlled} frames with the payload", phrases::LITTLE_CIPHERTEXT)),
        seen => Ok(format!("{seen} {what} are there instead")),
    }
}

/// Data messages between the two nodes, each way at least one and together at least as many as frames had the payload.
fn wireguard(run: &Run<'_>, step: &Never, summary: &CaptureSummary, controlled: u64) -> Result<String, String> {
    let (from, to) = ends(run, step);
    let matches = |pair: &str, from: &Option<String>, to: &Option<String>| {
        let Some((source, destination)) = pair.split_once('>') else { return false };
        from.as_deref().is_none_or(|from| from == source) && to.as_deref().is_none_or(|to| to == destination)
    };
    let sum = |from: &Option<String>, to: &Option<String>| {
        let pairs = summary.wireguard.pairs.iter().filter(|(pair, _)| matches(pair, from, to));
        pairs.fold(0u64, |sum, (_, count)| sum.saturating_add(*count))
    };
    let (there, back) = (sum(&from, &to), sum(&to, &from));
    let name = |end: &Option<String>| end.clone().unwrap_or_else(|| "any node".to_owned());
    let between = format!("{} and {}", name(&from), name(&to));
    // With neither end known both sums count every pair.
    let total = if from.is_none() && to.is_none() { there } else { there.saturating_add(back) };
    if there == 0 || back == 0 {
        return Err(format!("{} ({between}): {there} WireGuard data messages there, {back} back", phrases::NO_CIPHERTEXT));
    }
    enough(&format!("WireGuard data messages between {between}"), total, controlled)
}

/// Addresses of the two nodes the payload travels between: from the scenario, from the echo, or at least the node captured on.
fn ends(run: &Run<'_>, step: &Never) -> (Option<String>, Option<String>) {
    let address = |node: Option<String>| run.context.lab.nodes.get(&node?).map(|facts| facts.address.clone());
    let named = run.steps.iter().find(|named| named.id == step.canary);
    let probe = named.and_then(|named| ProbeRef::of(named.step));
    let (from, to) = match probe {
        Some(ProbeRef::Http(probe)) => (run.node_of_vantage(&probe.from), run.node_of_target(&probe.to)),
        Some(ProbeRef::L4(probe)) => (run.node_of_vantage(&probe.from), run.node_of_target(&probe.to)),
        _ => (None, None),
    };
    let to = to.or_else(|| echo_node(run, &step.canary));
    let on = match run.watch(&step.r#in) {
        Some(Watch::Capture(watch)) => run.node_of_vantage(&watch.on),
        _ => None,
    };
    match (address(from), address(to)) {
        (None, None) => (address(on), None),
        known => known,
    }
}

/// The node the answering backend says it is on, by its logical name.
fn echo_node(run: &Run<'_>, canary: &str) -> Option<String> {
    let name = run.probes(canary).into_iter().rev().find_map(|(_, probe)| match &probe.seen {
        Seen::Http(results) => results.iter().find_map(|result| match &result.outcome {
            HttpOutcome::Answer(answer) => answer.echo.as_ref().map(|echo| echo.node.clone()),
            HttpOutcome::Failed(_) => None,
        }),
        _ => None,
    })?;
    run.context.node_named(&name).map(|(logical, _)| logical.clone())
}
