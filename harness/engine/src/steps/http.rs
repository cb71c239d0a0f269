//! HTTP requests and TLS handshakes.

use std::time::Duration;

use plumb_core::evidence::Seen;
use plumb_core::probe::{CANARY_HEADER, ClientTls, Connection, Detail, Done, HttpOp, HttpVersion, Item, Op, TlsOp};
use plumb_core::scenario::model::{HttpProbe, TlsProbe, TlsSettings};
use plumb_core::steps::span_ms;

use super::probe::{Attempt, Path, Patience};
use super::scene::Scene;

/// More requests than this come back counted, not one by one.
const FULL_MAX: u32 = 200;

/// A try inside a wait is given up after this time, so that the wait sees a change soon; the wait has its own limit.
const TRY_MS: u64 = 1_000;

pub(super) async fn http(scene: &Scene, probe: &HttpProbe, id: &str, patience: Patience) -> Attempt {
    let path = Path::find(scene, &probe.from, &probe.to, probe.via.as_deref(), patience).await?;
    let mut op = request(scene, probe, id, &path, patience);
    op.count = probe.count;
    op.detail = if probe.count > FULL_MAX { Detail::Tally } else { Detail::Full };
    let limits = Duration::from_millis(op.timeout_ms.saturating_mul(u64::from(op.count)));
    let full = op.detail == Detail::Full;
    let outcome = path.ask(Op::Http(op), limits, "make HTTP requests").await?;
    let words = path.to.with_port(probe.port);
    match outcome.done {
        Done::Http(_) if full => {
            let results = outcome.items.into_iter().filter_map(|item| if let Item::Http(result) = item { Some(result) } else { None });
            Ok((words, Seen::Http(results.collect())))
        }
        Done::Http(report) => Ok((words, Seen::HttpTally(report))),
        other => Err(path.confused("make HTTP requests", &other)),
    }
}

/// The request of a probe: one, in full detail.
pub(super) fn request(scene: &Scene, probe: &HttpProbe, id: &str, path: &Path, patience: Patience) -> HttpOp {
    let mut headers = probe.headers.clone();
    headers.insert(CANARY_HEADER.into(), scene.canary(id));
    let timeout_ms = probe.timeout.as_ref().map_or_else(|| default_timeout_ms(scene, patience), span_ms);
    HttpOp {
        target: path.socket(probe.port),
        source: None,
        host: probe.host.clone(),
        path: probe.path.clone(),
        method: probe.method.clone(),
        headers,
        tls: probe.tls.as_ref().map(|settings| client_tls(scene, settings, &probe.host)),
        version: if probe.version.as_deref() == Some("2") { HttpVersion::Http2 } else { HttpVersion::Http1 },
        body_bytes: 0,
        count: 1,
        concurrency: 1,
        rate_per_s: None,
        connection: Connection::PerRequest,
        timeout_ms,
        detail: Detail::Full,
    }
}

pub(super) async fn tls(scene: &Scene, probe: &TlsProbe, patience: Patience) -> Attempt {
    let path = Path::find(scene, &probe.from, &probe.to, probe.via.as_deref(), patience).await?;
    let timeout_ms = default_timeout_ms(scene, patience);
    let name = probe.tls.sni.clone().unwrap_or_default();
    let tls = client_tls(scene, &probe.tls, &name);
    let op = TlsOp { target: path.socket(probe.port), source: None, tls, count: probe.count, timeout_ms };
    let limits = Duration::from_millis(timeout_ms.saturating_mul(u64::from(probe.count)));
    match path.ask(Op::Tls(op), limits, "make TLS handshakes").await?.done {
        Done::Tls(report) => Ok((path.to.with_port(probe.port), Seen::Tls(report))),
        other => Err(path.confused("make TLS handshakes", &other)),
    }
}

fn default_timeout_ms(scene: &Scene, patience: Patience) -> u64 {
    let whole = scene.plan.budgets.request_ms;
    if patience == Patience::None { whole.min(TRY_MS) } else { whole }
}

/// TLS settings for a host; the chain is checked against the run's authority and the outcome reported.
fn client_tls(scene: &Scene, settings: &TlsSettings, host: &str) -> ClientTls {
    let sni = match settings.sni.as_deref() {
        None => Some(host.to_owned()),
        Some("") => None,
        Some(name) => Some(name.to_owned()),
    };
    ClientTls {
        sni,
        alpn: settings.alpn.clone(),
        roots_pem: Some(scene.certs.roots_pem().to_owned()),
        verify_name: (!host.is_empty()).then(|| host.to_owned()),
        max_version: settings.max_version.clone(),
    }
}
