//! One line of input to one request. Anything may arrive here: a line that cannot be understood is answered, never fatal.

use plumb_core::probe::Request;
use serde::Deserialize;

/// The longest line that is read, newline excluded.
pub(crate) const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A line that is no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The id of the request, where it could be read; else 0.
    pub id: u64,
    /// What is wrong with it.
    pub message: String,
}

/// Just the id, whatever else is there.
#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

/// Reads a request. `None` for a blank line.
///
/// # Errors
/// The line is not UTF-8 JSON of the shape of [`Request`]. The message never repeats what may be a private key.
pub fn parse_line(line: &[u8]) -> Option<Result<Request, BadLine>> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    Some(serde_json::from_slice(line).map_err(|error| BadLine {
        id: serde_json::from_slice::<Numbered>(line).map_or(0, |numbered| numbered.id),
        message: without_keys(error.to_string()),
    }))
}

/// A JSON error may quote the value it did not expect.
fn without_keys(message: String) -> String {
    const LENGTH_MAX: usize = 400;
    if message.contains("PRIVATE KEY") {
        return "a private key stands where it does not belong".into();
    }
    match message.char_indices().nth(LENGTH_MAX) {
        Some((end, _)) => format!("{}...", &message[..end]),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use plumb_core::probe::Op;

    #[test]
    fn requests_are_read_and_blank_lines_skipped() {
        assert!(parse_line(b"  \r").is_none());
        let request = parse_line(br#"{"id":7,"op":"hello"}"#).unwrap().unwrap();
        assert_eq!((request.id, request.op), (7, Op::Hello));
    }

    #[test]
    fn a_bad_line_keeps_its_id_where_it_has_one() {
        let cases: [(&[u8], u64); 7] = [
            (br#"{"id":7,"op":"helo"}"#, 7),
            (br#"{"id":8,"op":{"stop":{"of":1}},"extra":1}"#, 8),
            (br#"{"op":"hello"}"#, 0),
            (br#"{"id":-1,"op":"hello"}"#, 0),
            (b"{\"id\":9", 0),
            (b"\xff\xfe\x00", 0),
            (b"[[[[[[[[", 0),
        ];
        for (line, id) in cases {
            assert_eq!(parse_line(line).unwrap().unwrap_err().id, id, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        let line = vec![b'['; 1_000_000];
        assert_eq!(parse_line(&line).unwrap().unwrap_err().id, 0);
    }

    #[test]
    fn an_error_never_repeats_a_private_key() {
        let line = br#"{"id":1,"op":{"serve":{"listen":"-----BEGIN PRIVATE KEY-----AAAA","protocol":"http","backend":"a"}}}"#;
        let bad = parse_line(line).unwrap().unwrap_err();
        assert!(!bad.message.contains("AAAA"), "{}", bad.message);
    }

    /// Not a fuzzer, but every build runs it: damaged requests are refused or read, and nothing else.
    #[test]
    fn damaged_requests_never_crash() {
        let seeds: [&[u8]; 4] = [
            br#"{"id":7,"op":{"http":{"target":"127.0.0.1:80","host":"a","tls":{"sni":"x"},"ratePerS":1.5}}}"#,
            br#"{"id":18446744073709551615,"op":{"capture":{"interface":"eth0","filter":[{"host":"::1"}],"canaries":[]}}}"#,
            br#"{"id":1,"op":{"load":{"target":"[::1]:1","kind":{"http":{"host":"a","path":"/"}}}}}"#,
            br#"{"id":2,"op":"links"}"#,
        ];
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below
        };
        for round in 0..50_000 {
            let mut line = seeds[round % seeds.len()].to_vec();
            for _ in 0..=draw(4) {
                let at = draw(line.len());
                match draw(3) {
                    0 => line[at] = draw(256) as u8,
                    1 => line.truncate(at.max(1)),
                    _ => line.insert(at, b"{}[]\",:\\0e-"[draw(11)]),
                }
            }
            if let Some(Err(bad)) = parse_line(&line) {
                assert!(!bad.message.is_empty());
            }
        }
    }
}
