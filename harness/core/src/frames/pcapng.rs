//! Writes pcapng (draft-ietf-opsawg-pcapng): one section, one interface, nanosecond times. Little endian.
//!
//! The pieces are plain byte vectors, so that a caller may send them as they come: [`header`], then [`packet`]s, at the end
//! [`statistics`], which says how many frames the kernel dropped.

use super::decode::LinkType;

/// Section header and interface description.
pub fn header(interface: &str, snaplen: u32, link: LinkType) -> Vec<u8> {
    let mut section = Vec::new();
    section.extend(0x1a2b_3c4d_u32.to_le_bytes());
    section.extend(1u16.to_le_bytes());
    section.extend(0u16.to_le_bytes());
    section.extend((-1i64).to_le_bytes());
    option(&mut section, 4, b"plumb-agent");
    end_of_options(&mut section);

    let mut description = Vec::new();
    description.extend(link_number(link).to_le_bytes());
    description.extend(0u16.to_le_bytes());
    description.extend(snaplen.to_le_bytes());
    option(&mut description, 2, interface.as_bytes());
    // if_tsresol: 10^-9 s.
    option(&mut description, 9, &[9]);
    end_of_options(&mut description);

    let mut file = block(0x0a0d_0d0a, &section);
    file.extend(block(1, &description));
    file
}

/// One frame: when (nanoseconds since 1970), what was captured of it, how long it was on the wire.
pub fn packet(unix_ns: u64, bytes: &[u8], wire_len: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes.len() + 24);
    body.extend(0u32.to_le_bytes());
    time(&mut body, unix_ns);
    body.extend((bytes.len() as u32).to_le_bytes());
    body.extend((wire_len as u32).to_le_bytes());
    padded(&mut body, bytes);
    block(6, &body)
}

/// Interface statistics: when, frames received, frames the kernel dropped.
pub fn statistics(unix_ns: u64, received: u64, dropped: u64) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(0u32.to_le_bytes());
    time(&mut body, unix_ns);
    option(&mut body, 4, &received.to_le_bytes());
    option(&mut body, 5, &dropped.to_le_bytes());
    end_of_options(&mut body);
    block(5, &body)
}

pub(super) fn link_number(link: LinkType) -> u16 {
    match link {
        LinkType::Ethernet => 1,
        LinkType::RawIp => 101,
    }
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let total = (body.len() + 12) as u32;
    let mut block = Vec::with_capacity(body.len() + 12);
    block.extend(kind.to_le_bytes());
    block.extend(total.to_le_bytes());
    block.extend(body);
    block.extend(total.to_le_bytes());
    block
}

fn time(body: &mut Vec<u8>, unix_ns: u64) {
    body.extend(((unix_ns >> 32) as u32).to_le_bytes());
    body.extend((unix_ns as u32).to_le_bytes());
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    padded(body, value);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend([0; 4]);
}

fn padded(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend(bytes);
    body.resize(body.len().next_multiple_of(4), 0);
}
