//! Frames: what the bytes of a wire say, without touching a socket or a file.
//!
//! [`Decoder`] turns one frame into a [`Packet`] (Ethernet or bare IP, 802.1Q, ARP, IPv4, IPv6, fragments, TCP, UDP, ICMP, ESP,
//! VXLAN with what is inside, WireGuard); [`Summary`] counts frames as they come, live or from a recording; [`filter`] compiles
//! [`crate::probe::FrameFilter`]s for the kernel; [`recording`] reads pcap and pcapng, [`pcapng`] writes. Every input is untrusted:
//! nothing here panics on any bytes ([`fuzz`] is the entry point that shows it).

mod decode;
pub mod filter;
mod packet;
pub mod pcapng;
pub mod recording;
mod summary;
mod tls;

pub use decode::{Decoder, LinkType, Undecodable, decode_frame};
pub use packet::{Arp, Kind, Packet, Tunnel, WireGuardMessage};
pub use summary::Summary;
pub use tls::{RecordKind, records};

use crate::probe::{Canary, CaptureOp};

/// Feeds arbitrary bytes to every decoder of this module; returns normally whatever they are.
pub fn fuzz(bytes: &[u8]) {
    let op = CaptureOp {
        interface: "fuzz".into(),
        filter: Vec::new(),
        snaplen: 256,
        canaries: vec![Canary { name: "c".into(), text: "plumb-canary-0123456789".into() }],
        vxlan_ports: vec![8472, 4789],
        wireguard_ports: vec![51871],
        pcapng_bytes_max: 0,
    };
    for link in [LinkType::Ethernet, LinkType::RawIp] {
        let mut summary = Summary::on_link(&op, link);
        summary.frame(bytes, bytes.len(), 1);
        summary.finish(0);
    }
    if let Ok(recording) = recording::read(bytes) {
        let mut summary = Summary::on_link(&op, recording.link);
        for frame in &recording.frames {
            summary.frame(&frame.bytes, frame.wire_len, frame.at_ns);
        }
        summary.finish(recording.dropped.unwrap_or(0));
    }
    let program = filter::compile(&[crate::probe::FrameFilter { port: Some(443), ..Default::default() }], 256);
    filter::run(&program, bytes);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::statistics::SplitMix;

    #[test]
    fn garbage_never_panics() {
        let mut random = SplitMix::new(7);
        for round in 0..20_000u64 {
            let len = (random.next() % 200) as usize;
            let mut bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
            if round % 2 == 0 && len > 40 {
                bytes[12..14].copy_from_slice(&[0x08, 0x00]);
                bytes[14] = 0x45;
                bytes[23] = 17;
                bytes[20..22].copy_from_slice(&[0, 0]);
                bytes[36..38].copy_from_slice(&8472u16.to_be_bytes());
            }
            fuzz(&bytes);
        }
    }

    #[test]
    fn every_cut_of_a_recording_is_read_without_panic() {
        let mut file = pcapng::header("eth0", 256, LinkType::Ethernet);
        file.extend(pcapng::packet(1, &[0; 60], 60));
        file.extend(pcapng::statistics(2, 1, 0));
        for cut in 0..file.len() {
            fuzz(&file[..cut]);
        }
        assert_eq!(recording::read(&file).unwrap().frames.len(), 1);
    }
}
