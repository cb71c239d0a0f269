//! Packets to and from some addresses dropped in silence, as on a wire that is cut: a table of our own in the kernel's packet filter
//! (nf_tables), made whole and taken away whole, so that nothing of anybody else's is touched and nothing has to be remembered.
//!
//! There may be no program in a container but the agent, so the kernel is spoken to directly: `nfnetlink` messages as in
//! linux/netfilter/nf_tables.h, one batch for all (a batch holds or fails as one).

use std::io;
use std::net::IpAddr;

use plumb_core::probe::{CutOp, CutPeer, CutPower, CutReport, OpError};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use crate::clock::monotonic_ns;

/// Answers [`plumb_core::probe::Op::Cut`].
pub(crate) fn set(op: &CutOp) -> Result<CutReport, OpError> {
    let table = format!("plumbline-{}", op.name);
    let failed = |operation: String| move |error: io::Error| OpError { operation, message: in_words(&error) };
    match op.power {
        CutPower::Cut => {
            let made = Filter::open().and_then(|filter| filter.batch(&rules(&table, &op.from)));
            made.map_err(failed(format!("make the table {table} of the packet filter")))?;
            Ok(CutReport { at_ns: monotonic_ns(), dropped: 0 })
        }
        CutPower::Heal => {
            let filter = Filter::open().map_err(failed("open the packet filter".into()))?;
            let dropped = filter.dropped(&table).map_err(failed(format!("read the counters of the table {table}")))?;
            let gone = vec![message(DEL_TABLE, NLM_F_ACK, &text(1, &table))];
            filter.batch(&gone).map_err(failed(format!("take the table {table} of the packet filter away")))?;
            Ok(CutReport { at_ns: monotonic_ns(), dropped })
        }
    }
}

fn in_words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EEXIST) => "it is there already: the node is cut off".to_owned(),
        Some(libc::ENOENT) => "it is not there: the node is not cut off".to_owned(),
        Some(libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EINVAL | libc::EAFNOSUPPORT) => {
            format!("{error}; the kernel needs nf_tables (modprobe nf_tables)")
        }
        _ => error.to_string(),
    }
}

const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DEL_TABLE: u16 = NEW_TABLE + 2;
const NEW_CHAIN: u16 = NEW_TABLE + 3;
const NEW_RULE: u16 = NEW_TABLE + 6;
const GET_RULE: u16 = NEW_TABLE + 7;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
/// Both IPv4 and IPv6.
const NFPROTO_INET: u8 = 1;
const NESTED: u16 = 0x8000;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

/// The chains: where packets come in, pass through and go out, after whatever rewrites their addresses.
const CHAINS: [(&str, u32, &[Way]); 3] = [("in", 1, &[Way::From]), ("through", 2, &[Way::From, Way::To]), ("out", 3, &[Way::To])];

#[derive(Debug, Clone, Copy)]
enum Way {
    From,
    To,
}

/// The messages that make a table with a rule for each peer and way.
fn rules(table: &str, from: &[CutPeer]) -> Vec<Vec<u8>> {
    let mut messages = vec![message(NEW_TABLE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &text(1, table))];
    for (name, hook, ways) in CHAINS {
        let hook = nest(4, &[number(1, hook), number(2, 0)].concat());
        let chain = [text(1, table), text(3, name), hook, text(7, "filter")].concat();
        messages.push(message(NEW_CHAIN, NLM_F_ACK | NLM_F_CREATE, &chain));
        for peer in from {
            for way in ways {
                let rule = [text(1, table), text(2, name), nest(4, &expressions(peer, *way))].concat();
                messages.push(message(NEW_RULE, NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND, &rule));
            }
        }
    }
    messages
}

/// Is it this family, this address and, where one is named, TCP and this port: then count it and drop it.
fn expressions(peer: &CutPeer, way: Way) -> Vec<u8> {
    let (family, address, offset) = match (peer.address, way) {
        (IpAddr::V4(address), Way::From) => (2u8, address.octets().to_vec(), 12),
        (IpAddr::V4(address), Way::To) => (2, address.octets().to_vec(), 16),
        (IpAddr::V6(address), Way::From) => (10, address.octets().to_vec(), 8),
        (IpAddr::V6(address), Way::To) => (10, address.octets().to_vec(), 24),
    };
    // NFT_META_NFPROTO and NFT_META_L4PROTO.
    let mut list = [meta(15), equals(&[family]), payload(NETWORK_HEADER, offset, address.len() as u32), equals(&address)].concat();
    if let Some(port) = peer.port {
        let offset = if matches!(way, Way::From) { 0 } else { 2 };
        list.extend([meta(16), equals(&[6]), payload(TRANSPORT_HEADER, offset, 2), equals(&port.to_be_bytes())].concat());
    }
    list.extend(expression("counter", &[]));
    // Register 0 is the verdict, and 0 there means drop.
    list.extend(expression("immediate", &[number(1, 0), nest(2, &nest(2, &number(1, 0)))].concat()));
    list
}

fn meta(key: u32) -> Vec<u8> {
    expression("meta", &[number(2, key), number(1, 1)].concat())
}

fn payload(base: u32, offset: u32, len: u32) -> Vec<u8> {
    expression("payload", &[number(1, 1), number(2, base), number(3, offset), number(4, len)].concat())
}

fn equals(value: &[u8]) -> Vec<u8> {
    expression("cmp", &[number(1, 1), number(2, 0), nest(3, &attribute(1, value))].concat())
}

fn expression(name: &str, data: &[u8]) -> Vec<u8> {
    nest(1, &[text(1, name), nest(2, data)].concat())
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn nest(kind: u16, value: &[u8]) -> Vec<u8> {
    attribute(kind | NESTED, value)
}

fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), &[0]].concat())
}

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

/// A message without its number, which [`Filter::batch`] gives it.
fn message(kind: u16, flags: u16, attributes: &[u8]) -> Vec<u8> {
    framed(kind, flags, NFPROTO_INET, 0, attributes)
}

/// `nlmsghdr` and `nfgenmsg`.
fn framed(kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = ((16 + 4 + attributes.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(attributes);
    bytes
}

/// The packet filter of this namespace.
struct Filter(Socket);

impl Filter {
    fn open() -> io::Result<Filter> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Filter(socket))
    }

    /// Sends messages as one batch and waits until each has been taken.
    fn batch(&self, messages: &[Vec<u8>]) -> io::Result<()> {
        let ends = |kind| framed(kind, 0, 0, SUBSYSTEM, &[]);
        let mut bytes = Vec::new();
        let all = std::iter::once(ends(BATCH_BEGIN)).chain(messages.iter().cloned()).chain(std::iter::once(ends(BATCH_END)));
        for (number, mut message) in (1u32..).zip(all) {
            message[8..12].copy_from_slice(&number.to_ne_bytes());
            bytes.extend(message);
        }
        self.0.send(&bytes, 0)?;
        let mut taken = 0;
        while taken < messages.len() {
            self.answers(|kind, body| {
                if kind == NLMSG_ERROR {
                    refused(body)?;
                    taken += 1;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Packets that the rules of a table have dropped.
    fn dropped(&self, table: &str) -> io::Result<u64> {
        self.0.send(&message(GET_RULE, NLM_F_DUMP, &text(1, table)), 0)?;
        let (mut packets, mut rules, mut done) = (0, 0, false);
        while !done {
            self.answers(|kind, body| {
                match kind {
                    NLMSG_ERROR => refused(body)?,
                    NLMSG_DONE => done = true,
                    NEW_RULE => {
                        rules += 1;
                        packets += counted(body.get(4..).unwrap_or_default());
                    }
                    _ => {}
                }
                Ok(())
            })?;
        }
        if rules == 0 { Err(io::Error::from_raw_os_error(libc::ENOENT)) } else { Ok(packets) }
    }

    /// Reads once and hands out each message: its kind and what follows its header.
    fn answers(&self, mut each: impl FnMut(u16, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let (bytes, _) = self.0.recv_from_full()?;
        let mut rest = bytes.as_slice();
        while let (Some(len), Some(kind)) = (word(rest, 0), half(rest, 4)) {
            let len = (len as usize).clamp(16, rest.len());
            each(kind, rest.get(16..len).unwrap_or_default())?;
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The packets of the counter among the expressions of a rule.
fn counted(rule: &[u8]) -> u64 {
    let expressions = attributes(rule).find(|(kind, _)| *kind == 4).map(|(_, value)| value).unwrap_or_default();
    let counters = attributes(expressions).filter_map(|(_, expression)| {
        let name = attributes(expression).find(|(kind, _)| *kind == 1)?.1;
        let data = attributes(expression).find(|(kind, _)| *kind == 2)?.1;
        (name == b"counter\0").then_some(data)
    });
    let packets = counters.filter_map(|data| attributes(data).find(|(kind, _)| *kind == 2));
    packets.filter_map(|(_, value)| Some(u64::from_be_bytes(value.try_into().ok()?))).sum()
}

/// Kind and value of each attribute.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (len, kind) = (usize::from(half(rest, 0)?), half(rest, 2)?);
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & !NESTED, value))
    })
}

/// The code of an error message: 0 is an acknowledgement.
fn refused(body: &[u8]) -> io::Result<()> {
    match word(body, 0).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::from(io::ErrorKind::InvalidData)),
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
