//! TLS handshakes without a request.

use std::time::{Duration, Instant};

use plumb_core::probe::{Failure, OpError, Phases, TlsAttempt, TlsOp, TlsOutcome, TlsReport, TlsSession};

use super::connect::connect;
use super::exchange::micros;
use super::failure::{Trouble, timeout};
use super::tls::TlsClient;
use crate::clock::monotonic_ns;
use crate::session::Context;

/// Shakes hands, one after another, until there were enough or it is stopped.
pub(crate) async fn run(op: TlsOp, context: &Context) -> Result<TlsReport, OpError> {
    let client = TlsClient::new(&op.tls, op.target.ip(), &[])?;
    let mut report = TlsReport::default();
    for _ in 0..op.count {
        if context.stop.is_cancelled() {
            break;
        }
        report.attempts.push(attempt(&op, &client).await?);
    }
    Ok(report)
}

async fn attempt(op: &TlsOp, client: &TlsClient) -> Result<TlsAttempt, OpError> {
    let at_ns = monotonic_ns();
    let begun = Instant::now();
    let mut phases = Phases::default();
    let limit = Duration::from_millis(op.timeout_ms);
    let outcome = match tokio::time::timeout(limit, shake(op, client, &mut phases)).await {
        Ok(Ok(session)) => TlsOutcome::Session(Box::new(session)),
        Ok(Err(Trouble::Local(error))) => return Err(error),
        Ok(Err(Trouble::Network(failure))) => TlsOutcome::Failed(failure),
        Err(_) => TlsOutcome::Failed(out_of_time(&phases, op.timeout_ms)),
    };
    phases.total_us = micros(begun);
    Ok(TlsAttempt { at_ns, phases, outcome })
}

async fn shake(op: &TlsOp, client: &TlsClient, phases: &mut Phases) -> Result<TlsSession, Trouble> {
    let begun = Instant::now();
    let stream = connect(op.target, op.source).await?;
    phases.connect_us = Some(micros(begun));
    let begun = Instant::now();
    let mut stream = client.handshake(stream).await.map_err(Trouble::Network)?;
    phases.tls_us = Some(micros(begun));
    let session = client.session(&stream);
    // A peer that has closed already does not spoil the session that was there.
    let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
    Ok(session)
}

fn out_of_time(phases: &Phases, limit_ms: u64) -> Failure {
    timeout(if phases.connect_us.is_none() { "connect" } else { "tls" }, limit_ms)
}
