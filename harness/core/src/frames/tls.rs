//! TLS records at the start of a TCP payload (RFC 8446 section 5.1). Counts, never decrypts.

/// Content type of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// 20.
    ChangeCipherSpec,
    /// 21.
    Alert,
    /// 22.
    Handshake,
    /// 23.
    ApplicationData,
}

impl RecordKind {
    /// Every kind, in the order of their numbers (`kind as usize`).
    pub const ALL: [RecordKind; 4] = [RecordKind::ChangeCipherSpec, RecordKind::Alert, RecordKind::Handshake, RecordKind::ApplicationData];

    /// The name it has in [`crate::probe::CaptureSummary::tls_records`].
    pub fn name(self) -> &'static str {
        match self {
            RecordKind::ChangeCipherSpec => "changeCipherSpec",
            RecordKind::Alert => "alert",
            RecordKind::Handshake => "handshake",
            RecordKind::ApplicationData => "applicationData",
        }
    }
}

/// The records that begin in this payload, as long as one follows the other. A payload that continues a record has none.
pub fn records(payload: &[u8]) -> impl Iterator<Item = RecordKind> + '_ {
    let mut rest = payload;
    std::iter::from_fn(move || {
        let header: &[u8; 5] = rest.first_chunk()?;
        let kind = match header[0] {
            20 => RecordKind::ChangeCipherSpec,
            21 => RecordKind::Alert,
            22 => RecordKind::Handshake,
            23 => RecordKind::ApplicationData,
            _ => return None,
        };
        let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
        // 2^14 bytes of plain text and at most 2048 of expansion (RFC 5246 section 6.2.3).
        if header[1] != 3 || header[2] > 4 || len == 0 || len > 16_384 + 2_048 {
            return None;
        }
        rest = rest.get(5 + len..).unwrap_or_default();
        Some(kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_one_after_the_other() {
        let mut payload = vec![22, 3, 1, 0, 2, 9, 9, 20, 3, 3, 0, 1, 1, 23, 3, 3, 1, 0];
        payload.extend([7; 30]);
        let kinds: Vec<_> = records(&payload).map(RecordKind::name).collect();
        assert_eq!(kinds, ["handshake", "changeCipherSpec", "applicationData"]);
    }

    #[test]
    fn plain_text_has_no_records() {
        assert_eq!(records(b"GET / HTTP/1.1\r\n").count(), 0);
        assert_eq!(records(&[23, 3, 3, 0xff, 0xff]).count(), 0);
    }
}
