//! HTTP answers, and where their TLS session ends.

use std::collections::BTreeMap;

use super::super::context::Context;
use super::super::phrases;
use super::{Blocker, broken, enough, failure, undecided};
use crate::probe::{HttpAnswer, HttpOutcome, HttpReport, HttpResult, TlsSession, Trust};
use crate::scenario::model::{HttpExpect, HttpProbe, TlsEnd, TlsExpect};

pub(super) fn results(probe: &HttpProbe, results: &[HttpResult], context: &Context) -> Result<(), Blocker> {
    enough(results.len(), probe.count)?;
    let Some(expect) = &probe.expect else { return Ok(()) };
    for result in results {
        one(expect, result, context).map_err(|blocker| numbered(blocker, result.n, results.len()))?;
    }
    Ok(())
}

/// Names the request only where there are several.
fn numbered(blocker: Blocker, n: u32, of: usize) -> Blocker {
    match blocker {
        Blocker::Broken(why) if of > 1 => Blocker::Broken(format!("{why} (request {} of {of})", n.saturating_add(1))),
        other => other,
    }
}

fn one(expect: &HttpExpect, result: &HttpResult, context: &Context) -> Result<(), Blocker> {
    let answer = match &result.outcome {
        HttpOutcome::Failed(seen) => return failure(seen, &expect.fails),
        HttpOutcome::Answer(answer) => answer,
    };
    if !expect.fails.is_empty() {
        return broken(format!("{}: status {}, expected {}", phrases::ANSWERED, answer.status, super::classes(&expect.fails)));
    }
    status(expect.status, answer.status)?;
    if let Some(wanted) = &expect.backend {
        backend(wanted, answer.echo.as_ref().map(|echo| echo.backend.as_str()))?;
    }
    if let Some(wanted) = &expect.tls {
        session(wanted, answer, context)?;
    }
    let response: BTreeMap<&str, &str> = answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for (name, wanted) in &expect.headers {
        header("response", name, wanted, response.get(name.to_ascii_lowercase().as_str()).copied())?;
    }
    let Some(echo) = &answer.echo else {
        if expect.seen_headers.is_empty() && expect.seen_version.is_none() {
            return Ok(());
        }
        return broken(format!("the answer comes from no backend of this run (status {})", answer.status));
    };
    for (name, wanted) in &expect.seen_headers {
        header("request", name, wanted, echo.seen.headers.get(&name.to_ascii_lowercase()).map(String::as_str))?;
    }
    match &expect.seen_version {
        Some(wanted) if *wanted != echo.seen.version => broken(format!("the backend saw {}, expected {wanted}", echo.seen.version)),
        _ => Ok(()),
    }
}

fn status(wanted: Option<u16>, seen: u16) -> Result<(), Blocker> {
    match wanted {
        Some(wanted) if wanted != seen => broken(format!("status {seen}, expected {wanted}")),
        _ => Ok(()),
    }
}

fn backend(wanted: &str, seen: Option<&str>) -> Result<(), Blocker> {
    match seen {
        Some(seen) if seen == wanted => Ok(()),
        Some(seen) => broken(format!("{}: {seen}, expected {wanted}", phrases::WRONG_BACKEND)),
        None => broken(format!("{}: none of this run's, expected {wanted}", phrases::WRONG_BACKEND)),
    }
}

fn header(side: &str, name: &str, wanted: &str, seen: Option<&str>) -> Result<(), Blocker> {
    match seen {
        None => broken(format!("{side} header {name} is missing, expected `{wanted}`")),
        Some(_) if wanted == "*" => Ok(()),
        Some(seen) if seen == wanted => Ok(()),
        Some(seen) => broken(format!("{side} header {name} is `{seen}`, expected `{wanted}`")),
    }
}

fn session(expect: &TlsExpect, answer: &HttpAnswer, context: &Context) -> Result<(), Blocker> {
    let Some(client) = &answer.tls else { return broken("the client has no TLS session") };
    if let Some(end) = expect.ends_at {
        ends_at(end, client, answer)?;
    }
    chain(expect.leaf.as_deref(), expect.trusted, client, context)?;
    match (expect.alpn.as_deref(), client.alpn.as_deref().unwrap_or("none")) {
        (Some(wanted), seen) if wanted != seen => broken(format!("{} {seen}, expected {wanted}", phrases::ALPN)),
        _ => Ok(()),
    }
}

fn ends_at(end: TlsEnd, client: &TlsSession, answer: &HttpAnswer) -> Result<(), Blocker> {
    let Some(echo) = &answer.echo else {
        return broken(format!("{}: the answer comes from no backend of this run", phrases::ENDS_BEFORE_BACKEND));
    };
    let same = match &echo.seen.tls {
        Some(server) if client.exported.is_empty() || server.exported.is_empty() => {
            return undecided("client or backend could not export keying material");
        }
        Some(server) => Some(server.exported == client.exported),
        None => None,
    };
    match (end, same) {
        (TlsEnd::Gateway, Some(true)) => broken(format!("{}: client and backend export the same keys", phrases::ENDS_AT_BACKEND)),
        (TlsEnd::Backend, Some(false)) => broken(format!("{}: client and backend export different keys", phrases::ENDS_BEFORE_BACKEND)),
        (TlsEnd::Backend, None) => broken(format!("{}: the backend got plain text", phrases::ENDS_BEFORE_BACKEND)),
        (TlsEnd::Gateway, Some(false) | None) | (TlsEnd::Backend, Some(true)) => Ok(()),
    }
}

/// The certificate that was served, and whether it would be accepted.
pub(super) fn chain(leaf: Option<&str>, trusted: Option<bool>, client: &TlsSession, context: &Context) -> Result<(), Blocker> {
    if let Some(name) = leaf {
        let Some(wanted) = context.certs.get(name) else {
            return undecided(format!("the run has no certificate `{name}`"));
        };
        let Some(seen) = client.chain.first() else {
            return broken(format!("{} `{name}`: none was served", phrases::OTHER_LEAF));
        };
        if !seen.sha256.eq_ignore_ascii_case(&wanted.sha256) {
            let short = |sha: &str| sha.get(..16).unwrap_or(sha).to_owned();
            let owner = context.certs.iter().find(|(_, cert)| cert.sha256.eq_ignore_ascii_case(&seen.sha256));
            let whose = owner.map(|(name, _)| format!("that of `{name}`, ")).unwrap_or_default();
            let (seen_sha, wanted_sha) = (short(&seen.sha256), short(&wanted.sha256));
            let why = format!("{} `{name}`: {whose}SHA-256 {seen_sha}..., expected {wanted_sha}...", phrases::OTHER_LEAF);
            return broken(format!("{why} (subject {}, names {})", seen.subject, seen.sans.join(" ")));
        }
    }
    match (trusted, &client.trust) {
        (None, _) | (Some(true), Trust::Trusted) | (Some(false), Trust::Untrusted(_)) => Ok(()),
        (Some(true), Trust::Untrusted(why)) => broken(format!("{}: {why}", phrases::UNTRUSTED)),
        (Some(false), Trust::Trusted) => broken(format!("{}, expected that it is not", phrases::TRUSTED)),
        (Some(_), Trust::NotChecked) => undecided("the chain was not checked: no roots were given"),
    }
}

/// A batch of which only counts are there: it tells of status, backend and failures.
pub(super) fn tally(probe: &HttpProbe, report: &HttpReport) -> Result<(), Blocker> {
    enough(report.sent as usize, probe.count)?;
    let Some(expect) = &probe.expect else { return Ok(()) };
    for row in report.tally.iter().filter(|row| row.count > 0) {
        match row.failure {
            Some(class) if expect.fails.contains(&class) => continue,
            Some(class) => return broken(format!("{}: {}, {} of {}", phrases::FAILED, super::class(class), row.count, report.sent)),
            None if !expect.fails.is_empty() => return broken(format!("{}: {} of {}", phrases::ANSWERED, row.count, report.sent)),
            None => {}
        }
        status(expect.status, row.status.unwrap_or(0))?;
        if let Some(wanted) = &expect.backend {
            backend(wanted, row.backend.as_deref())?;
        }
    }
    let counted = HttpExpect { status: expect.status, backend: expect.backend.clone(), fails: expect.fails.clone(), ..Default::default() };
    if *expect != counted {
        return undecided("only counts were kept of these requests, the rest of the expectation cannot be seen in them");
    }
    Ok(())
}
