//! ARP frames for IPv4 over Ethernet (RFC 826): read a request, write a reply or an announcement (RFC 5227 section 3).

use std::net::Ipv4Addr;

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// Everybody on the wire.
pub(crate) const BROADCAST: Mac = [0xff; 6];

const ETHERTYPE: [u8; 2] = [0x08, 0x06];
/// Ethernet, IPv4, address lengths 6 and 4.
const PREAMBLE: [u8; 6] = [0, 1, 8, 0, 6, 4];
const LEN: usize = 42;

/// Who asks for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WhoHas {
    pub(crate) asker_mac: Mac,
    pub(crate) asker_ip: Ipv4Addr,
    pub(crate) target: Ipv4Addr,
}

/// Reads a request; anything else is `None`.
pub(crate) fn who_has(frame: &[u8]) -> Option<WhoHas> {
    let frame = frame.get(..LEN)?;
    let is_request = frame[12..14] == ETHERTYPE && frame[14..20] == PREAMBLE && frame[20..22] == [0, 1];
    is_request.then(|| WhoHas { asker_mac: mac(&frame[22..28]), asker_ip: ip(&frame[28..32]), target: ip(&frame[38..42]) })
}

/// The answer to a request: `own` has the address; to the asker alone.
pub(crate) fn reply(own: Mac, request: &WhoHas) -> [u8; LEN] {
    frame(request.asker_mac, own, request.target, request.asker_mac, request.asker_ip)
}

/// A gratuitous reply: `own` has `address`, said once to everybody, as Cilium 1.16 and 1.17 do (operation 2, target ff:ff:ff:ff:ff:ff).
pub(crate) fn announcement(own: Mac, address: Ipv4Addr) -> [u8; LEN] {
    frame(BROADCAST, own, address, BROADCAST, address)
}

fn frame(to: Mac, own: Mac, address: Ipv4Addr, target_mac: Mac, target: Ipv4Addr) -> [u8; LEN] {
    let mut frame = [0; LEN];
    frame[0..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&own);
    frame[12..14].copy_from_slice(&ETHERTYPE);
    frame[14..20].copy_from_slice(&PREAMBLE);
    frame[20..22].copy_from_slice(&[0, 2]);
    frame[22..28].copy_from_slice(&own);
    frame[28..32].copy_from_slice(&address.octets());
    frame[32..38].copy_from_slice(&target_mac);
    frame[38..42].copy_from_slice(&target.octets());
    frame
}

fn mac(bytes: &[u8]) -> Mac {
    let mut mac = [0; 6];
    mac.copy_from_slice(bytes);
    mac
}

fn ip(bytes: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const OWN: Mac = [2, 0, 0, 0, 0, 1];
    const ASKER: Mac = [2, 0, 0, 0, 0, 9];
    const VIP: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 220);

    fn request() -> [u8; LEN] {
        let mut request = frame(BROADCAST, ASKER, Ipv4Addr::new(10, 9, 1, 200), [0; 6], VIP);
        request[21] = 1;
        request
    }

    #[test]
    fn request_is_read_and_answered_to_the_asker_alone() {
        let who = who_has(&request()).unwrap();
        assert_eq!(who, WhoHas { asker_mac: ASKER, asker_ip: Ipv4Addr::new(10, 9, 1, 200), target: VIP });
        let reply = reply(OWN, &who);
        assert_eq!(reply[0..6], ASKER, "unicast");
        assert_eq!((&reply[22..28], &reply[28..32]), (&OWN[..], &VIP.octets()[..]));
    }

    #[test]
    fn replies_short_frames_and_other_protocols_are_no_requests() {
        assert_eq!(who_has(&announcement(OWN, VIP)), None);
        assert_eq!(who_has(&request()[..41]), None);
        let mut ipv4 = request();
        ipv4[12..14].copy_from_slice(&[8, 0]);
        assert_eq!(who_has(&ipv4), None);
    }

    #[test]
    fn announcement_names_the_same_address_twice_and_goes_to_everybody() {
        let frame = announcement(OWN, VIP);
        assert_eq!(frame[0..6], BROADCAST);
        assert_eq!(frame[28..32], frame[38..42]);
    }
}
