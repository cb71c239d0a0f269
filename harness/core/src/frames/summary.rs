//! Counts frames as they come; the end result is a [`CaptureSummary`]. Works on live frames and on recordings alike.

use memchr::memmem::Finder;

use super::decode::{Decoder, LinkType};
use super::packet::{Kind, Packet, WireGuardMessage};
use super::tls;
use crate::probe::{CanaryHits, CaptureOp, CaptureSummary, FrameRef, WireGuardCount};

/// How many frames with a canary are pointed at.
const FIRST: usize = 8;

/// Counts frames; see [`Summary::frame`].
#[derive(Debug)]
pub struct Summary {
    decoder: Decoder,
    finders: Vec<Finder<'static>>,
    counted: CaptureSummary,
}

impl Summary {
    /// An empty summary of an Ethernet interface.
    pub fn new(op: &CaptureOp) -> Summary {
        Summary::on_link(op, LinkType::Ethernet)
    }

    /// An empty summary of an interface whose frames begin with this header.
    pub fn on_link(op: &CaptureOp, link: LinkType) -> Summary {
        let canaries = op.canaries.iter().map(|canary| CanaryHits { name: canary.name.clone(), ..Default::default() });
        Summary {
            decoder: Decoder::new(op, link),
            finders: op.canaries.iter().map(|canary| Finder::new(canary.text.as_bytes()).into_owned()).collect(),
            counted: CaptureSummary { interface: op.interface.clone(), canaries: canaries.collect(), ..Default::default() },
        }
    }

    /// Counts one frame: what was captured of it, how long it was on the wire, and when, in nanoseconds.
    pub fn frame(&mut self, bytes: &[u8], wire_len: usize, at_ns: u64) {
        let counted = &mut self.counted;
        if counted.frames == 0 {
            counted.from_ns = at_ns;
        }
        counted.to_ns = counted.to_ns.max(at_ns);
        counted.frames += 1;
        counted.bytes += wire_len as u64;
        counted.truncated += u64::from(bytes.len() < wire_len);
        let packet = self.decoder.decode(bytes).ok();
        match &packet {
            Some(packet) => count(counted, packet, wire_len),
            None => counted.undecodable += 1,
        }
        self.canaries(bytes, packet.as_ref(), at_ns);
    }

    /// What was counted so far. The agent overwrites `from_ns` and `to_ns` with when it began and stopped listening.
    pub fn finish(mut self, dropped: u64) -> CaptureSummary {
        self.counted.dropped = dropped;
        self.counted
    }

    /// Looks at every captured byte, headers too: a canary in a frame that does not decode still is a canary on the wire.
    fn canaries(&mut self, bytes: &[u8], packet: Option<&Packet<'_>>, at_ns: u64) {
        for (finder, hits) in self.finders.iter().zip(&mut self.counted.canaries) {
            if finder.needle().is_empty() || finder.find(bytes).is_none() {
                continue;
            }
            match packet.map(|packet| packet.kind) {
                Some(Kind::Vxlan) => hits.vxlan += 1,
                _ => hits.clear += 1,
            }
            if hits.first.len() < FIRST {
                let what = packet.map_or_else(|| "a frame that does not decode".to_owned(), ToString::to_string);
                hits.first.push(FrameRef { number: self.counted.frames, at_ns, what });
            }
        }
    }
}

fn count(counted: &mut CaptureSummary, packet: &Packet<'_>, wire_len: usize) {
    let volume = counted.kinds.entry(packet.kind.name().to_owned()).or_default();
    volume.frames += 1;
    volume.bytes += wire_len as u64;
    if let Some(message) = packet.wireguard {
        wireguard(&mut counted.wireguard, message, packet);
    }
    let innermost = packet.innermost();
    if innermost.kind == Kind::Tcp {
        for record in tls::records(innermost.payload) {
            *counted.tls_records.entry(record.name().to_owned()).or_default() += 1;
        }
    }
}

fn wireguard(counted: &mut WireGuardCount, message: WireGuardMessage, packet: &Packet<'_>) {
    match message {
        WireGuardMessage::Initiation => counted.initiation += 1,
        WireGuardMessage::Response => counted.response += 1,
        WireGuardMessage::Cookie => counted.cookie += 1,
        WireGuardMessage::Keepalive => {
            counted.keepalive += 1;
            counted.data_bytes += packet.payload_len as u64;
        }
        WireGuardMessage::Data => {
            counted.data += 1;
            counted.data_bytes += packet.payload_len as u64;
            if let (Some(source), Some(destination)) = (packet.source, packet.destination) {
                *counted.pairs.entry(format!("{source}>{destination}")).or_default() += 1;
            }
        }
    }
}
