//! Observations and expectations in words.

use super::context::Context;
use super::holds::{Answers, classes, failure_in_words};
use crate::evidence::{LeaseFact, ProbeFact, Seen};
use crate::probe::{HttpOutcome, HttpResult, PingOutcome, TlsOutcome, TlsSession};
use crate::scenario::model::{
    ArpExpect, Count, Distribution, Downtime, HttpExpect, L4Expect, LeaseExpect, Never, Probe, StatusExpect, Step, TlsEnd, TlsProbeExpect,
};
use crate::steps::ProbeRef;

/// What a probe saw, on one line.
pub(super) fn seen(fact: &ProbeFact, context: &Context) -> String {
    let what = match &fact.seen {
        Seen::Http(results) => several(results.iter().map(http).collect()),
        Seen::HttpTally(report) => format!("{} of {} requests answered", report.answered, report.sent),
        Seen::Tls(report) => several(
            report
                .attempts
                .iter()
                .map(|attempt| match &attempt.outcome {
                    TlsOutcome::Session(session) => format!("session: {}", leaf(session)),
                    TlsOutcome::Failed(failure) => failure_in_words(failure),
                })
                .collect(),
        ),
        Seen::L4(report) => several(
            report
                .attempts
                .iter()
                .map(|attempt| match (&attempt.failure, attempt.rtt_us) {
                    (Some(failure), _) => failure_in_words(failure),
                    (None, Some(_)) => "payload came back".to_owned(),
                    (None, None) => "payload did not come back".to_owned(),
                })
                .collect(),
        ),
        Seen::Ping(report) => several(report.attempts.iter().map(|attempt| ping(&attempt.outcome)).collect()),
        Seen::Arp { address, report, lease } => {
            let answers = Answers::of(*address, report);
            let macs: Vec<String> = answers.macs.keys().map(|mac| context.mac_in_words(mac)).collect();
            let who = if macs.is_empty() { "nobody".to_owned() } else { macs.join(" and ") };
            let lease = lease.as_ref().map(|seen| format!("; {}", lease_in_words(seen))).unwrap_or_default();
            format!("{who} answers ARP for {address}{lease}")
        }
        Seen::Object(object) if object.is_null() => "no such object".to_owned(),
        Seen::Object(object) => {
            let text = |pointer: &str| object.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or("?").to_owned();
            format!("{} {}: {}", text("/kind"), text("/metadata/name"), conditions(object))
        }
        Seen::Lease(lease) => lease_in_words(lease),
        Seen::NoTarget(why) => why.clone(),
        Seen::Trouble(trouble) => format!("{}: {}", trouble.operation, trouble.message),
    };
    if fact.target.is_empty() { what } else { format!("{}: {what}", fact.target) }
}

/// Equal texts once, with their number.
fn several(texts: Vec<String>) -> String {
    let mut counted: Vec<(String, usize)> = Vec::new();
    for text in texts {
        match counted.iter_mut().find(|(own, _)| *own == text) {
            Some((_, count)) => *count += 1,
            None => counted.push((text, 1)),
        }
    }
    let one = |(text, count): &(String, usize)| if *count > 1 { format!("{count} x {text}") } else { text.clone() };
    if counted.is_empty() { "nothing".to_owned() } else { counted.iter().map(one).collect::<Vec<_>>().join("; ") }
}

fn http(result: &HttpResult) -> String {
    let answer = match &result.outcome {
        HttpOutcome::Failed(failure) => return failure_in_words(failure),
        HttpOutcome::Answer(answer) => answer,
    };
    let backend = answer.echo.as_ref().map_or("no backend".to_owned(), |echo| format!("{} on {}", echo.backend, echo.node));
    let hop = match (&answer.tls, answer.echo.as_ref().map(|echo| &echo.seen.tls)) {
        (None, _) => String::new(),
        (Some(session), None) => format!(", {}", leaf(session)),
        (Some(session), Some(None)) => format!(", {}, plain text at the backend", leaf(session)),
        (Some(session), Some(Some(server))) if server.exported == session.exported => {
            format!(", {}, the same session at the backend", leaf(session))
        }
        (Some(session), Some(Some(_))) => format!(", {}, another session at the backend", leaf(session)),
    };
    format!("status {} from {backend}{hop}", answer.status)
}

fn leaf(session: &TlsSession) -> String {
    let leaf = session.chain.first();
    let names = leaf.map_or("no certificate".to_owned(), |leaf| format!("leaf for {}", leaf.sans.join(" ")));
    let alpn = session.alpn.as_deref().map(|alpn| format!(", ALPN {alpn}")).unwrap_or_default();
    format!("TLS {} {names}{alpn}", session.version)
}

fn ping(outcome: &PingOutcome) -> String {
    match outcome {
        PingOutcome::Reply { .. } => "reply".to_owned(),
        PingOutcome::FragmentationNeeded { mtu: Some(mtu) } => format!("fragmentation needed (MTU {mtu})"),
        PingOutcome::FragmentationNeeded { mtu: None } => "fragmentation needed".to_owned(),
        PingOutcome::TtlExceeded => "time exceeded".to_owned(),
        PingOutcome::Unreachable { detail } => format!("unreachable: {detail}"),
        PingOutcome::Timeout => "timeout".to_owned(),
    }
}

fn lease_in_words(lease: &LeaseFact) -> String {
    match (&lease.holder, lease.exists) {
        (_, false) => format!("no lease {}", lease.name),
        (None, true) => format!("lease {} without a holder", lease.name),
        (Some(holder), true) => format!("lease {} held by {holder}", lease.name),
    }
}

fn conditions(object: &serde_json::Value) -> String {
    let text = |value: &serde_json::Value, key: &str| value.get(key).and_then(serde_json::Value::as_str).unwrap_or("?").to_owned();
    let own = object.pointer("/status/conditions").or_else(|| object.pointer("/status/parents/0/conditions"));
    let list = own.and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    let words: Vec<String> = list.iter().map(|one| format!("{}={}", text(one, "type"), text(one, "status"))).collect();
    if words.is_empty() { "no conditions".to_owned() } else { words.join(" ") }
}

/// What a check expects, on one line.
pub(super) fn expected(step: &Step) -> String {
    match step {
        Step::Apply(apply) => match &apply.expect_error {
            Some(text) => format!("the API refuses it with `{text}`"),
            None => "the API accepts it".to_owned(),
        },
        Step::Eventually(wait) => format!("within {}: {}", wait.within, probe(ProbeRef::from(&wait.probe))),
        Step::Consistently(wait) => format!("for {} all the time: {}", wait.r#for, of(&wait.probe)),
        Step::Never(never) => hidden(never),
        Step::Count(count) => counted(count),
        Step::Distribution(step) => split(step),
        Step::Downtime(step) => downtime(step),
        Step::Config(step) => step.expect.as_ref().map(super::config::expected).unwrap_or_default(),
        Step::Upgrade(_) => "Cilium is upgraded and ready on every node".to_owned(),
        other => ProbeRef::of(other).map_or_else(|| format!("`{}` can be carried out", other.verb()), probe),
    }
}

fn of(wrapped: &Probe) -> String {
    probe(ProbeRef::from(wrapped))
}

fn probe(probe: ProbeRef<'_>) -> String {
    let parts = match probe {
        ProbeRef::Http(probe) => probe.expect.as_ref().map(http_expect),
        ProbeRef::Tls(probe) => probe.expect.as_ref().map(tls_expect),
        ProbeRef::L4(probe) => probe.expect.as_ref().map(l4_expect),
        ProbeRef::Ping(probe) => probe.expect.as_ref().map(|wanted| vec![wanted.clone()]),
        ProbeRef::Arp(probe) => probe.expect.as_ref().map(arp_expect),
        ProbeRef::Status(probe) => probe.expect.as_ref().map(|expect| status_expect(&probe.resource, expect)),
        ProbeRef::Lease(probe) => probe.expect.as_ref().map(|expect| lease_expect(&probe.service, expect)),
    };
    let parts = parts.unwrap_or_default();
    if parts.is_empty() { "the probe can be made".to_owned() } else { parts.join(", ") }
}

fn http_expect(expect: &HttpExpect) -> Vec<String> {
    let mut parts = Vec::new();
    parts.extend(expect.status.map(|status| format!("status {status}")));
    parts.extend(expect.backend.as_ref().map(|backend| format!("from {backend}")));
    if let Some(tls) = &expect.tls {
        parts.extend(tls.ends_at.map(|end| match end {
            TlsEnd::Gateway => "TLS ends at the gateway".to_owned(),
            TlsEnd::Backend => "TLS ends at the backend".to_owned(),
        }));
        parts.extend(tls.leaf.as_ref().map(|leaf| format!("leaf of `{leaf}`")));
        parts.extend(tls.trusted.map(trusted));
        parts.extend(tls.alpn.as_ref().map(|alpn| format!("ALPN {alpn}")));
        parts.extend(tls.second_hop.as_ref().map(|hop| match tls.ends_at {
            Some(TlsEnd::Backend) => format!("only TLS on the second hop `{hop}`"),
            _ => format!("plain text on the second hop `{hop}`"),
        }));
    }
    parts.extend(expect.headers.iter().map(|(name, value)| format!("response header {name}: {value}")));
    parts.extend(expect.seen_headers.iter().map(|(name, value)| format!("request header {name}: {value}")));
    parts.extend(expect.seen_version.iter().map(|version| format!("{version} at the backend")));
    parts.extend(fails(&expect.fails));
    parts
}

fn trusted(trusted: bool) -> String {
    if trusted { "trusted chain" } else { "untrusted chain" }.to_owned()
}

fn fails(fails: &[crate::probe::FailureClass]) -> Option<String> {
    (!fails.is_empty()).then(|| format!("fails: {}", classes(fails)))
}

fn tls_expect(expect: &TlsProbeExpect) -> Vec<String> {
    let mut parts: Vec<String> = expect.leaf.iter().map(|leaf| format!("leaf of `{leaf}`")).collect();
    parts.extend(expect.trusted.map(trusted));
    parts.extend(fails(&expect.fails));
    parts
}

fn l4_expect(expect: &L4Expect) -> Vec<String> {
    let mut parts: Vec<String> =
        expect.answered.map(|yes| if yes { "the payload comes back" } else { "no answer" }.to_owned()).into_iter().collect();
    parts.extend(fails(&expect.fails));
    parts
}

fn arp_expect(expect: &ArpExpect) -> Vec<String> {
    let mut parts: Vec<String> = expect.answerers.map(|n| format!("{n} MAC addresses answer")).into_iter().collect();
    parts.extend((expect.every == Some(true)).then(|| "every question is answered".to_owned()));
    parts.extend(expect.holder_of.as_ref().map(|service| format!("by the holder of the lease of {service}")));
    parts.extend(expect.unicast.map(|unicast| if unicast { "unicast" } else { "broadcast" }.to_owned()));
    parts
}

fn status_expect(resource: &str, expect: &StatusExpect) -> Vec<String> {
    let mut parts: Vec<String> = expect.conditions.iter().map(|(kind, wanted)| format!("{resource} {kind}={wanted}")).collect();
    parts.extend(expect.fields.iter().map(|(pointer, wanted)| format!("{resource} {pointer} = {wanted}")));
    parts.extend(expect.lengths.iter().map(|(pointer, wanted)| format!("{resource} {pointer} of length {wanted}")));
    parts.extend((expect.absent == Some(true)).then(|| format!("{resource} does not exist")));
    parts
}

fn lease_expect(service: &str, expect: &LeaseExpect) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(expect.held.map(|held| format!("lease of {service} {}", if held { "held" } else { "not held" })));
    parts.extend((!expect.holder.is_empty()).then(|| format!("holder of {service} is {}", expect.holder.join(" or "))));
    parts.extend(expect.as_in.as_ref().map(|earlier| format!("the same holder as in `{earlier}`")));
    parts.extend(expect.not_as_in.as_ref().map(|earlier| format!("another holder than in `{earlier}`")));
    parts.extend(expect.duration_seconds.map(|seconds| format!("lease duration {seconds} s")));
    parts
}

fn hidden(step: &Never) -> String {
    use crate::scenario::model::Ciphertext;
    let instead = match step.instead {
        Ciphertext::Wireguard => "WireGuard instead",
        Ciphertext::Esp => "ESP instead",
        Ciphertext::Tls => "TLS instead",
        Ciphertext::Nothing => "it does not cross this wire",
    };
    format!("payload of `{}` never readable in `{}`, {instead}; readable in `{}`", step.canary, step.r#in, step.seen_in)
}

fn counted(step: &Count) -> String {
    let what = match (&step.canary, step.gratuitous) {
        (Some(canary), _) => format!("frames with the payload of `{canary}`"),
        (None, Some(true)) => "gratuitous ARP frames".to_owned(),
        (None, _) => "MAC addresses answering one question".to_owned(),
    };
    let bounds = match (step.min, step.max) {
        (Some(min), Some(max)) if min == max => format!("exactly {min}"),
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "any number of".to_owned(),
    };
    format!("{bounds} {what} in `{}`", step.r#in)
}

fn split(step: &Distribution) -> String {
    let weights: Vec<String> = step.weights.iter().map(|(id, weight)| format!("{id} {weight}")).collect();
    let marker = step.marker.as_ref().map(|marker| format!(", all by revision `{marker}`")).unwrap_or_default();
    match crate::statistics::Split::of(step) {
        Ok(split) => {
            let power = split.power * 100.0;
            format!("split {} over {} requests (alpha {:.0e}, power {power:.1} %){marker}", weights.join(" : "), split.samples, split.alpha)
        }
        Err(_) => format!("split {}{marker}", weights.join(" : ")),
    }
}

fn downtime(step: &Downtime) -> String {
    match &step.min {
        Some(min) => format!("`{}` away for {min} to {}", step.of, step.max),
        None => format!("`{}` away for at most {}", step.of, step.max),
    }
}
