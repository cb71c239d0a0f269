//! The syntax of names, labels, hostnames and the like (RFC 1035, RFC 1123, and what Kubernetes makes of them).

/// RFC 1123 label: up to 63 of `a-z0-9-`, ends alphanumeric.
pub(crate) fn is_label(text: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
}

/// RFC 1035 label: a label that starts with a letter. Services use it.
pub(crate) fn is_letter_label(text: &str) -> bool {
    is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// RFC 1123 subdomain: labels with dots, up to 253.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_subdomain_part)
}

/// Within a subdomain a part may be longer than 63: only the whole is limited.
fn is_subdomain_part(text: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric) && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
}

/// Gateway API hostname: a subdomain of at least one label, the first of which may be `*`; no address.
pub(crate) fn is_hostname(text: &str) -> bool {
    let rest = text.strip_prefix("*.").unwrap_or(text);
    is_subdomain(rest) && text.parse::<std::net::IpAddr>().is_err() && rest.split('.').all(is_label)
}

/// A label's or annotation's key: `name` or `prefix/name`.
pub(crate) fn is_qualified(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_key_name(name),
        None => is_key_name(text),
    }
}

fn is_key_name(text: &str) -> bool {
    !text.is_empty() && is_label_value(text)
}

/// A label's value: empty, or up to 63 of `A-Za-z0-9-_.`, alphanumeric at both ends.
pub(crate) fn is_label_value(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.is_empty()
        || bytes.len() <= 63
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// An HTTP field name (RFC 9110 token).
pub(crate) fn is_header_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A key of a Secret or ConfigMap.
pub(crate) fn is_data_key(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text != "."
        && !text.starts_with("..")
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// What the real API says of a name that is no subdomain.
pub(crate) const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
     must start and end with an alphanumeric character";
/// What the real API says of a name that is no label.
pub(crate) const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
     end with an alphanumeric character";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames_follow_the_gateway_api() {
        for good in ["a", "example.com", "*.example.com", "x-1.example"] {
            assert!(is_hostname(good), "{good}");
        }
        for bad in ["", "*", "*.", "*.*.com", "a.*.com", "Example.com", "-a.com", "a..b", "1.2.3.4", "a_b.com", "http://a"] {
            assert!(!is_hostname(bad), "{bad}");
        }
    }
}
