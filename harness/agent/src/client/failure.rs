//! Sorting failures: what an I/O, TLS or HTTP error says about the peer and the path.

use std::error::Error;
use std::io::{self, ErrorKind};

use plumb_core::probe::{Failure, FailureClass, OpError};
use rustls::AlertDescription;

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The lab's own: no descriptor, no port, an address that is not ours.
    Local(OpError),
    /// The network's or the peer's: an observation.
    Network(Failure),
}

/// A failure in words of the protocol.
pub(crate) fn failure(class: FailureClass, phase: &str, detail: impl Into<String>) -> Failure {
    Failure { class, phase: phase.into(), alert: None, detail: detail.into() }
}

/// Nothing within the limit.
pub(crate) fn timeout(phase: &str, limit_ms: u64) -> Failure {
    failure(FailureClass::Timeout, phase, format!("no answer within {limit_ms} ms"))
}

/// What an I/O error of a connection means.
pub(crate) fn of_io(error: &io::Error, phase: &str) -> Failure {
    let (class, alert) = sort(error);
    Failure { class, phase: phase.into(), alert, detail: error.to_string() }
}

/// Whether an error is about this machine's own means and says nothing about the network.
pub(crate) fn is_local(error: &io::Error) -> bool {
    const LOCAL: [i32; 8] =
        [libc::EADDRNOTAVAIL, libc::EADDRINUSE, libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EAFNOSUPPORT, libc::EINVAL];
    error.raw_os_error().is_some_and(|errno| LOCAL.contains(&errno))
}

/// Class and alert of an I/O error; rustls puts its own errors inside.
pub(crate) fn sort(error: &io::Error) -> (FailureClass, Option<String>) {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return match tls {
            rustls::Error::AlertReceived(alert) => (FailureClass::Alert, Some(alert_name(*alert))),
            _ => (FailureClass::Protocol, None),
        };
    }
    let class = match (error.raw_os_error(), error.kind()) {
        (Some(libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ENETDOWN | libc::EHOSTDOWN | libc::EACCES | libc::EPERM), _) => {
            FailureClass::Unreachable
        }
        (Some(libc::ENOPROTOOPT | libc::EPROTO | libc::EMSGSIZE), _) => FailureClass::Unreachable,
        (_, ErrorKind::ConnectionRefused) => FailureClass::Refused,
        (_, ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe) => FailureClass::Reset,
        (_, ErrorKind::UnexpectedEof | ErrorKind::NotConnected | ErrorKind::WriteZero) => FailureClass::Closed,
        (_, ErrorKind::TimedOut) => FailureClass::Timeout,
        _ => FailureClass::Protocol,
    };
    (class, None)
}

/// The I/O error somewhere below another one.
pub(crate) fn io_below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<io::Error>() {
            return Some(found);
        }
        next = current.source();
    }
    None
}

/// An error with all that caused it, in one line.
pub(crate) fn chained(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        // Some libraries repeat the cause in their own message.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = cause.source();
    }
    text
}

/// The description as RFC 8446 section 6 and RFC 5246 section 7.2 write it; `alert_N` for numbers they do not know.
fn alert_name(alert: AlertDescription) -> String {
    let number = u8::from(alert);
    let name = match number {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return format!("alert_{number}"),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_standard() {
        assert_eq!(alert_name(AlertDescription::UnrecognisedName), "unrecognized_name");
        assert_eq!(alert_name(AlertDescription::HandshakeFailure), "handshake_failure");
        assert_eq!(alert_name(AlertDescription::Unknown(200)), "alert_200");
    }

    #[test]
    fn errors_are_sorted_by_what_the_peer_or_path_did() {
        let cases = [
            (libc::ECONNREFUSED, FailureClass::Refused),
            (libc::ECONNRESET, FailureClass::Reset),
            (libc::EPIPE, FailureClass::Reset),
            (libc::ETIMEDOUT, FailureClass::Timeout),
            (libc::EHOSTUNREACH, FailureClass::Unreachable),
            (libc::ENETUNREACH, FailureClass::Unreachable),
            (libc::EACCES, FailureClass::Unreachable),
        ];
        for (errno, class) in cases {
            assert_eq!(sort(&io::Error::from_raw_os_error(errno)).0, class, "errno {errno}");
        }
        assert_eq!(sort(&ErrorKind::UnexpectedEof.into()).0, FailureClass::Closed);
        let alert = io::Error::new(ErrorKind::InvalidData, rustls::Error::AlertReceived(AlertDescription::AccessDenied));
        assert_eq!(sort(&alert), (FailureClass::Alert, Some("access_denied".into())));
    }
}
