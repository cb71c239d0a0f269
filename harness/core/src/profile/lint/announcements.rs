//! L2 announcements: timings the agent changes by itself.

use super::{Flags, Found, Severity, text};

/// Lease timings client-go does not take are changed with a line in a log.
pub(super) fn lease_timings(flags: &Flags<'_>, found: &mut Vec<Found>) {
    const KEYS: [&str; 3] = ["l2announcements.leaseDuration", "l2announcements.leaseRenewDeadline", "l2announcements.leaseRetryPeriod"];
    const SOURCE: &str = "l2announcer.go 1.17.1 (lease validation); client-go leaderelection";
    if !flags.is("l2announcements.enabled", "true") {
        return;
    }
    let mut ms = |key: &str, default: u64| match flags.values.get(key) {
        None => Some(default),
        Some(value) => match crate::duration::parse(&text(value)) {
            Ok(span) => Some(span.as_millis() as u64),
            Err(bad) => {
                let (keys, hint) = (vec![key.to_owned()], None);
                found.push(Found { severity: Severity::Error, keys, message: bad.to_string(), hint, source: SOURCE });
                None
            }
        },
    };
    let (Some(lease), Some(deadline), Some(retry)) = (ms(KEYS[0], 15_000), ms(KEYS[1], 5_000), ms(KEYS[2], 2_000)) else { return };
    let mut adjusted = |named: &[&str], message: String| {
        found.push(Found {
            severity: Severity::Warning,
            keys: named.iter().map(|key| (*key).to_owned()).collect(),
            message: format!("{message}; the agent changes it silently but for a warning in its log"),
            hint: None,
            source: SOURCE,
        });
    };
    if lease < 1_000 {
        adjusted(&KEYS[..1], format!("a lease of {lease} ms is less than a second"));
    }
    if lease <= deadline {
        adjusted(&KEYS[..2], format!("a lease of {lease} ms must be longer than the renew deadline of {deadline} ms"));
    }
    if deadline * 10 <= retry * 12 {
        adjusted(&KEYS[1..], format!("a renew deadline of {deadline} ms must be longer than 1.2 times the retry period of {retry} ms"));
    }
}
