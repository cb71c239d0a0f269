//! Counts frames as they come; the end result is a [`CaptureSummary`]. Works on live frames and on recordings alike. What is counted by
//! name is counted by number until the end: a flood comes by here frame by frame.

use std::collections::BTreeMap;
use std::net::IpAddr;

use memchr::memmem::Finder;

use super::decode::{Decoder, LinkType};
use super::packet::{Kind, Packet, WireGuardMessage};
use super::tls::{self, RecordKind};
use crate::probe::{CanaryHits, CaptureOp, CaptureSummary, FrameRef, Volume};

/// How many frames with a canary are pointed at.
const FIRST: usize = 8;

/// Counts frames; see [`Summary::frame`].
#[derive(Debug)]
pub struct Summary {
    decoder: Decoder,
    finders: Vec<Finder<'static>>,
    counted: CaptureSummary,
    kinds: [Volume; Kind::ALL.len()],
    tls_records: [u64; RecordKind::ALL.len()],
    /// WireGuard data by source and destination.
    pairs: BTreeMap<(IpAddr, IpAddr), u64>,
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
            kinds: Default::default(),
            tls_records: Default::default(),
            pairs: BTreeMap::new(),
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
            Some(packet) => self.count(packet, wire_len),
            None => counted.undecodable += 1,
        }
        self.canaries(bytes, packet.as_ref(), at_ns);
    }

    /// What was counted so far. The agent overwrites `from_ns` and `to_ns` with when it began and stopped listening.
    pub fn finish(mut self, dropped: u64) -> CaptureSummary {
        let counted = &mut self.counted;
        counted.dropped = dropped;
        let kinds = Kind::ALL.into_iter().zip(self.kinds).filter(|(_, volume)| volume.frames > 0);
        counted.kinds = kinds.map(|(kind, volume)| (kind.name().to_owned(), volume)).collect();
        let records = RecordKind::ALL.into_iter().zip(self.tls_records).filter(|(_, count)| *count > 0);
        counted.tls_records = records.map(|(kind, count)| (kind.name().to_owned(), count)).collect();
        let pairs = self.pairs.into_iter();
        counted.wireguard.pairs = pairs.map(|((source, destination), count)| (format!("{source}>{destination}"), count)).collect();
        self.counted
    }

    fn count(&mut self, packet: &Packet<'_>, wire_len: usize) {
        let volume = &mut self.kinds[packet.kind as usize];
        volume.frames += 1;
        volume.bytes += wire_len as u64;
        if let Some(message) = packet.wireguard {
            self.wireguard(message, packet);
        }
        let innermost = packet.innermost();
        if innermost.kind == Kind::Tcp {
            for record in tls::records(innermost.payload) {
                self.tls_records[record as usize] += 1;
            }
        }
    }

    fn wireguard(&mut self, message: WireGuardMessage, packet: &Packet<'_>) {
        let counted = &mut self.counted.wireguard;
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
                    *self.pairs.entry((source, destination)).or_default() += 1;
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_in_the_order_of_their_numbers() {
        assert!(Kind::ALL.iter().enumerate().all(|(at, kind)| *kind as usize == at));
        assert!(RecordKind::ALL.iter().enumerate().all(|(at, kind)| *kind as usize == at));
    }
}
