//! Which subnet a new network gets: a pure function over what is taken. A subnet is a /24 in three parts: the lower half is Docker's to
//! hand out, the upper holds the virtual addresses that Docker never gives to anybody.

use std::net::Ipv4Addr;

/// A range of IPv4 addresses that somebody uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    first: u32,
    last: u32,
}

impl Block {
    /// The block of an address with a prefix length.
    pub fn new(address: Ipv4Addr, prefix: u8) -> Block {
        let host = u32::MAX.checked_shr(u32::from(prefix.min(32))).unwrap_or(0);
        let first = u32::from(address) & !host;
        Block { first, last: first | host }
    }

    /// From `10.1.0.0/16`; `None` for anything else, IPv6 included.
    pub fn parse(cidr: &str) -> Option<Block> {
        let (address, prefix) = cidr.split_once('/')?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        Some(Block::new(address.parse().ok()?, prefix))
    }

    fn overlaps(&self, other: &Block) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Where a network may be, in the order of preference: away from Docker's own pools first, the other private ranges (RFC 1918) where a
/// route takes all of 10.0.0.0/8.
pub const RESERVE: [(Ipv4Addr, u8); 3] =
    [(Ipv4Addr::new(10, 200, 0, 0), 13), (Ipv4Addr::new(172, 24, 0, 0), 13), (Ipv4Addr::new(192, 168, 128, 0), 17)];

/// What a cluster made by kind uses inside: Pods and Services.
const INSIDE: [(Ipv4Addr, u8); 2] = [(Ipv4Addr::new(10, 244, 0, 0), 16), (Ipv4Addr::new(10, 96, 0, 0), 16)];

/// First of the host numbers kept for Services, and how many there are. The same as on the reference network.
const VIRTUAL: (u8, u8) = (220, 31);

/// The /24 of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet(u32);

impl Subnet {
    /// Of a /24 in CIDR form.
    pub fn parse(cidr: &str) -> Option<Subnet> {
        let block = Block::parse(cidr)?;
        (block.last - block.first == 0xff).then_some(Subnet(block.first))
    }

    /// In CIDR form.
    pub fn cidr(&self) -> String {
        format!("{}/24", Ipv4Addr::from(self.0))
    }

    /// The bridge's own address.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.0 + 1)
    }

    /// What Docker may hand out, in CIDR form.
    pub fn handed_out(&self) -> String {
        format!("{}/25", Ipv4Addr::from(self.0))
    }

    /// The address with this host number.
    pub fn host(&self, number: u8) -> Ipv4Addr {
        Ipv4Addr::from(self.0 + u32::from(number))
    }

    /// The n-th address kept for Services.
    pub fn virtual_address(&self, n: u32) -> Option<Ipv4Addr> {
        let n = u8::try_from(n).ok().filter(|n| *n < VIRTUAL.1)?;
        Some(self.host(VIRTUAL.0 + n))
    }
}

/// A subnet that overlaps nothing; `salt` spreads those who choose at the same time. `None` when there is none.
pub fn choose(taken: &[Block], salt: u64) -> Option<Subnet> {
    let inside = INSIDE.map(|(address, prefix)| Block::new(address, prefix));
    let free = |block: &Block| taken.iter().chain(&inside).all(|other| !other.overlaps(block));
    RESERVE.iter().find_map(|(address, prefix)| {
        let range = Block::new(*address, *prefix);
        let count = u64::from((range.last - range.first) >> 8) + 1;
        (0..count).map(|n| (n + salt) % count).map(|n| range.first + ((n as u32) << 8)).find_map(|first| {
            let block = Block { first, last: first | 0xff };
            free(&block).then_some(Subnet(first))
        })
    })
}

/// How many networks with this prefix length still fit into a range.
pub fn free(taken: &[Block], range: Block, prefix: u8) -> usize {
    let last = u32::MAX.checked_shr(u32::from(prefix.min(32))).unwrap_or(0);
    let inside: Vec<&Block> = taken.iter().filter(|other| other.overlaps(&range)).collect();
    let mut count = 0;
    let mut first = range.first;
    loop {
        let block = Block { first, last: first | last };
        if block.last > range.last {
            return count;
        }
        count += usize::from(!inside.iter().any(|other| other.overlaps(&block)));
        match block.last.checked_add(1) {
            Some(next) => first = next,
            None => return count,
        }
    }
}

/// The blocks in `/proc/net/route`, the default route left out: destination and mask are hexadecimal in the machine's byte order.
pub fn routes(text: &str) -> Vec<Block> {
    let hex = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    let block = |line: &str| {
        let mut fields = line.split_whitespace();
        let (destination, mask) = (hex(fields.nth(1)?)?, hex(fields.nth(5)?)?);
        (mask != 0).then_some(Block { first: destination & mask, last: destination | !mask })
    };
    text.lines().skip(1).filter_map(block).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn blocks(cidrs: &[&str]) -> Vec<Block> {
        cidrs.iter().map(|cidr| Block::parse(cidr).unwrap()).collect()
    }

    #[test]
    fn a_subnet_overlaps_nothing_that_is_taken() {
        let taken = blocks(&["10.200.0.0/14", "10.204.0.0/24", "10.204.1.128/25"]);
        for salt in 0..4096 {
            let chosen = choose(&taken, salt).unwrap();
            let block = Block::parse(&chosen.cidr()).unwrap();
            assert!(taken.iter().all(|other| !other.overlaps(&block)), "{}", chosen.cidr());
        }
        assert_eq!(choose(&taken, 0).unwrap().cidr(), "10.204.2.0/24");
    }

    #[test]
    fn another_private_range_is_used_where_a_route_takes_one() {
        assert_eq!(choose(&blocks(&["10.0.0.0/8"]), 7).unwrap().cidr(), "172.24.7.0/24");
        assert_eq!(choose(&blocks(&["10.0.0.0/8", "172.16.0.0/12"]), 0).unwrap().cidr(), "192.168.128.0/24");
        assert_eq!(choose(&blocks(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]), 0), None);
    }

    #[test]
    fn virtual_addresses_are_never_handed_out() {
        let subnet = Subnet::parse("10.200.3.0/24").unwrap();
        let handed_out = Block::parse(&subnet.handed_out()).unwrap();
        let kept: Vec<Ipv4Addr> = (0..40).filter_map(|n| subnet.virtual_address(n)).collect();
        assert_eq!((kept.len(), kept[0], kept[30]), (31, Ipv4Addr::new(10, 200, 3, 220), Ipv4Addr::new(10, 200, 3, 250)));
        assert!(kept.iter().all(|address| !handed_out.overlaps(&Block::new(*address, 32))));
        assert!(handed_out.overlaps(&Block::new(subnet.gateway(), 32)));
    }

    #[test]
    fn a_routing_table_gives_its_blocks_without_the_default() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        assert_eq!(routes(text), blocks(&["172.17.0.0/16"]));
        assert_eq!(routes(""), []);
    }

    #[test]
    fn blocks_of_every_length_are_read() {
        assert_eq!(Block::parse("0.0.0.0/0").unwrap(), Block { first: 0, last: u32::MAX });
        assert_eq!(Block::parse("10.1.2.3/32").unwrap(), Block::new(Ipv4Addr::new(10, 1, 2, 3), 32));
        assert_eq!((Block::parse("fc00::/7"), Block::parse("10.0.0.0/33"), Block::parse("10.0.0.0")), (None, None, None));
    }
}
