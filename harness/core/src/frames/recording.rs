//! Reads recordings: pcap (both byte orders, micro- and nanoseconds) and pcapng. A file that ends early gives what it has.

use super::decode::LinkType;

/// A recording in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    /// What its frames begin with.
    pub link: LinkType,
    /// The frames, in order.
    pub frames: Vec<Recorded>,
    /// Frames the kernel dropped, where the file says it.
    pub dropped: Option<u64>,
    /// It ends where a record ends.
    pub whole: bool,
}

/// One recorded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Nanoseconds since 1970.
    pub at_ns: u64,
    /// Bytes on the wire.
    pub wire_len: usize,
    /// Bytes captured.
    pub bytes: Vec<u8>,
}

/// The file is no recording this program reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// Neither pcap nor pcapng.
    #[error("read recording: begins with {0:02x?}, expected pcap or pcapng")]
    Format(Vec<u8>),
    /// Frames begin with something else than Ethernet or IP.
    #[error("read recording: link type {0}, expected 1 (Ethernet) or 101 (raw IP)")]
    Link(u32),
}

/// Reads a recording.
///
/// # Errors
/// The file is no pcap or pcapng, or of a link type this program does not decode.
pub fn read(bytes: &[u8]) -> Result<Recording, RecordingError> {
    let magic = bytes.first_chunk::<4>().copied().unwrap_or_default();
    match magic {
        [0xd4, 0xc3, 0xb2, 0xa1] => pcap(Input { bytes, order: Order::Little }, 1_000),
        [0xa1, 0xb2, 0xc3, 0xd4] => pcap(Input { bytes, order: Order::Big }, 1_000),
        [0x4d, 0x3c, 0xb2, 0xa1] => pcap(Input { bytes, order: Order::Little }, 1),
        [0xa1, 0xb2, 0x3c, 0x4d] => pcap(Input { bytes, order: Order::Big }, 1),
        [0x0a, 0x0d, 0x0d, 0x0a] => pcapng(bytes),
        _ => Err(RecordingError::Format(bytes.get(..4).unwrap_or(bytes).to_vec())),
    }
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

#[derive(Clone, Copy)]
struct Input<'a> {
    bytes: &'a [u8],
    order: Order,
}

impl<'a> Input<'a> {
    fn u32(&self, at: usize) -> Option<u32> {
        let four = *self.bytes.get(at..)?.first_chunk::<4>()?;
        Some(match self.order {
            Order::Little => u32::from_le_bytes(four),
            Order::Big => u32::from_be_bytes(four),
        })
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let two = *self.bytes.get(at..)?.first_chunk::<2>()?;
        Some(match self.order {
            Order::Little => u16::from_le_bytes(two),
            Order::Big => u16::from_be_bytes(two),
        })
    }

    fn slice(&self, at: usize, len: usize) -> Option<&'a [u8]> {
        self.bytes.get(at..at.checked_add(len)?)
    }
}

fn link(number: u32) -> Result<LinkType, RecordingError> {
    match number {
        1 => Ok(LinkType::Ethernet),
        // 12 is what some systems write for raw IP in place of 101.
        12 | 101 => Ok(LinkType::RawIp),
        other => Err(RecordingError::Link(other)),
    }
}

fn pcap(input: Input<'_>, unit_ns: u64) -> Result<Recording, RecordingError> {
    let mut recording = Recording::default();
    let Some(number) = input.u32(20) else { return Ok(recording) };
    // The upper bits hold the length of the frame check sequence.
    recording.link = link(number & 0x0fff_ffff)?;
    let mut at = 24;
    while at < input.bytes.len() {
        let Some(frame) = pcap_record(input, at, unit_ns) else { return Ok(recording) };
        at += 16 + frame.bytes.len();
        recording.frames.push(frame);
    }
    recording.whole = true;
    Ok(recording)
}

fn pcap_record(input: Input<'_>, at: usize, unit_ns: u64) -> Option<Recorded> {
    let seconds = u64::from(input.u32(at)?);
    let fraction = u64::from(input.u32(at + 4)?);
    let len = input.u32(at + 8)? as usize;
    let wire_len = input.u32(at + 12)? as usize;
    let bytes = input.slice(at + 16, len)?.to_vec();
    Some(Recorded { at_ns: seconds * 1_000_000_000 + fraction * unit_ns, wire_len, bytes })
}

fn pcapng(bytes: &[u8]) -> Result<Recording, RecordingError> {
    let order = match bytes.get(8..12) {
        Some([0x1a, 0x2b, 0x3c, 0x4d]) => Order::Big,
        _ => Order::Little,
    };
    let input = Input { bytes, order };
    let mut recording = Recording::default();
    let mut unit = Unit::Decimal(6);
    let mut interfaces = 0;
    let mut at = 0;
    while at < bytes.len() {
        let (Some(kind), Some(total)) = (input.u32(at), input.u32(at + 4)) else { return Ok(recording) };
        let total = total as usize;
        if total < 12 || input.slice(at, total).is_none() {
            return Ok(recording);
        }
        let body = Input { bytes: &bytes[at + 8..at + total - 4], order };
        match kind {
            1 if interfaces == 0 => {
                recording.link = link(u32::from(body.u16(0).unwrap_or(1)))?;
                unit = resolution(body);
                interfaces += 1;
            }
            5 => recording.dropped = options(body, 12).find(|(code, _)| *code == 5).and_then(|(_, v)| v.u64()),
            6 => recording.frames.extend(enhanced(body, unit)),
            _ => {}
        }
        at += total;
    }
    recording.whole = true;
    Ok(recording)
}

#[derive(Clone, Copy)]
enum Unit {
    Decimal(u32),
    Binary(u32),
}

impl Unit {
    fn nanoseconds(self, ticks: u64) -> u64 {
        let wide = u128::from(ticks) * 1_000_000_000;
        let ns = match self {
            Unit::Decimal(exponent) => 10u128.checked_pow(exponent).map(|per_second| wide / per_second),
            Unit::Binary(exponent) => 1u128.checked_shl(exponent).map(|per_second| wide / per_second),
        };
        ns.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0)
    }
}

fn resolution(body: Input<'_>) -> Unit {
    match options(body, 8).find(|(code, _)| *code == 9).and_then(|(_, v)| v.bytes.first().copied()) {
        Some(value) if value & 0x80 != 0 => Unit::Binary(u32::from(value & 0x7f)),
        Some(value) => Unit::Decimal(u32::from(value)),
        None => Unit::Decimal(6),
    }
}

fn enhanced(body: Input<'_>, unit: Unit) -> Option<Recorded> {
    let ticks = u64::from(body.u32(4)?) << 32 | u64::from(body.u32(8)?);
    let len = body.u32(12)? as usize;
    let wire_len = body.u32(16)? as usize;
    let bytes = body.slice(20, len)?.to_vec();
    Some(Recorded { at_ns: unit.nanoseconds(ticks), wire_len, bytes })
}

impl Input<'_> {
    fn u64(&self) -> Option<u64> {
        let eight = *self.bytes.first_chunk::<8>()?;
        Some(match self.order {
            Order::Little => u64::from_le_bytes(eight),
            Order::Big => u64::from_be_bytes(eight),
        })
    }
}

fn options(body: Input<'_>, from: usize) -> impl Iterator<Item = (u16, Input<'_>)> {
    let mut at = from;
    std::iter::from_fn(move || {
        let code = body.u16(at)?;
        let len = usize::from(body.u16(at + 2)?);
        if code == 0 {
            return None;
        }
        let value = body.slice(at + 4, len)?;
        at += 4 + len.next_multiple_of(4);
        Some((code, Input { bytes: value, order: body.order }))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::pcapng as writer;
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut file = writer::header("eth0", 128, LinkType::RawIp);
        file.extend(writer::packet(1_700_000_000_123_456_789, &[1, 2, 3], 99));
        file.extend(writer::statistics(1_700_000_000_200_000_000, 1, 17));
        let recording = read(&file).unwrap();
        assert_eq!(recording.link, LinkType::RawIp);
        assert_eq!(recording.dropped, Some(17));
        assert!(recording.whole);
        let frame = Recorded { at_ns: 1_700_000_000_123_456_789, wire_len: 99, bytes: vec![1, 2, 3] };
        assert_eq!(recording.frames, [frame]);
    }

    #[test]
    fn a_file_that_ends_early_is_not_whole() {
        let mut file = writer::header("eth0", 128, LinkType::Ethernet);
        file.extend(writer::packet(1, &[1; 60], 60));
        let recording = read(&file[..file.len() - 5]).unwrap();
        assert!(!recording.whole);
        assert!(recording.frames.is_empty());
    }

    #[test]
    fn another_format_is_refused() {
        assert_eq!(read(b"GIF89a").unwrap_err(), RecordingError::Format(b"GIF8".to_vec()));
        assert!(read(b"").is_err());
    }
}
