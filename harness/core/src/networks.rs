//! Networks of a cluster that already runs, as its user names them: the interface on the nodes, and addresses there that nobody has.
//!
//! A scenario calls a network by a name (`net0`); what it is in somebody's cluster nobody but its user knows.

use std::net::Ipv4Addr;

/// More addresses than any scenario asks for; a longer range was meant otherwise.
const ADDRESSES_MAX: u32 = 256;

/// A network, as it is named on a command line: `net0=ens19,192.168.7.240-192.168.7.250`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedNetwork {
    /// What scenarios call it.
    pub network: String,
    /// The interface by which nodes are on it.
    pub interface: String,
    /// First and last address there that Services may have, and nobody else has.
    pub addresses: Option<(Ipv4Addr, Ipv4Addr)>,
}

impl NamedNetwork {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it and what would be right, in words.
    pub fn parse(text: &str) -> Result<NamedNetwork, String> {
        let wrong = |what: String| {
            format!(
                "understand --network {text}: {what}\nhint: NETWORK=INTERFACE or NETWORK=INTERFACE,FIRST-LAST, as net0=ens19,192.168.7.240-192.168.7.250"
            )
        };
        let (network, rest) = text.split_once('=').ok_or_else(|| wrong("there is no `=` in it".to_owned()))?;
        let (interface, range) = match rest.split_once(',') {
            Some((interface, range)) => (interface, Some(range)),
            None => (rest, None),
        };
        for (what, name) in [("network", network), ("interface", interface)] {
            // What Linux takes as the name of an interface (dev_valid_name): short, and without white space, `/` and `:`.
            if name.is_empty()
                || name.len() > 15
                || name.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':' | ','))
            {
                return Err(wrong(format!("`{name}` is no name of {} {what}", if what == "network" { "a" } else { "an" })));
            }
        }
        let addresses = range.map(|range| addresses(range).map_err(&wrong)).transpose()?;
        Ok(NamedNetwork { network: network.to_owned(), interface: interface.to_owned(), addresses })
    }

    /// Reads several, of which no two may be of one network.
    ///
    /// # Errors
    /// Everything that is wrong with any.
    pub fn parse_all<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<NamedNetwork>, Vec<String>> {
        let (mut read, mut wrong): (Vec<NamedNetwork>, Vec<String>) = (Vec::new(), Vec::new());
        for text in texts {
            match NamedNetwork::parse(text) {
                Ok(one) if read.iter().any(|other| other.network == one.network) => {
                    wrong.push(format!("understand --network {text}: {} is named already\nhint: give each network once", one.network));
                }
                Ok(one) => read.push(one),
                Err(error) => wrong.push(error),
            }
        }
        if wrong.is_empty() { Ok(read) } else { Err(wrong) }
    }

    /// How many addresses it has for Services.
    pub fn count(&self) -> u32 {
        self.addresses.map_or(0, |(first, last)| u32::from(last) - u32::from(first) + 1)
    }

    /// The n-th of them, from 0.
    pub fn address(&self, n: u32) -> Option<Ipv4Addr> {
        let (first, _) = self.addresses.filter(|_| n < self.count())?;
        Some(Ipv4Addr::from(u32::from(first) + n))
    }
}

fn addresses(range: &str) -> Result<(Ipv4Addr, Ipv4Addr), String> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let parse = |text: &str| text.trim().parse::<Ipv4Addr>().map_err(|_| format!("`{text}` is no IPv4 address"));
    let (first, last) = (parse(first)?, parse(last)?);
    if last < first {
        return Err(format!("the range ends at {last}, before it begins"));
    }
    match u32::from(last) - u32::from(first) {
        more if more >= ADDRESSES_MAX => Err(format!("the range has {} addresses, at most {ADDRESSES_MAX} are taken", u64::from(more) + 1)),
        _ => Ok((first, last)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_network_has_an_interface_and_perhaps_addresses() {
        let named = NamedNetwork::parse("net0=ens19,192.168.7.240-192.168.7.250").unwrap();
        assert_eq!((named.network.as_str(), named.interface.as_str(), named.count()), ("net0", "ens19", 11));
        assert_eq!([0, 10, 11].map(|n| named.address(n)), ["192.168.7.240", "192.168.7.250", ""].map(|text| text.parse().ok()));
        let one = NamedNetwork::parse("eth0=bond0.7,10.0.0.255").unwrap();
        assert_eq!((one.count(), one.address(0), one.address(1)), (1, Some(Ipv4Addr::new(10, 0, 0, 255)), None));
        let none = NamedNetwork::parse("eth0=ens18").unwrap();
        assert_eq!((none.count(), none.address(0)), (0, None));
        let all = NamedNetwork::parse("a=b,0.0.0.0-0.0.0.255").unwrap();
        assert_eq!((all.count(), all.address(255)), (256, Some(Ipv4Addr::new(0, 0, 0, 255))));
    }

    #[test]
    fn what_is_wrong_is_said_of_each() {
        let cases = [
            ("net0", "there is no `=` in it"),
            ("=ens19", "`` is no name of a network"),
            ("net0=", "`` is no name of an interface"),
            ("net0=ens 19", "`ens 19` is no name of an interface"),
            ("net0=0123456789abcdef", "is no name of an interface"),
            ("net0=ens19,", "`` is no IPv4 address"),
            ("net0=ens19,192.168.7.0/24", "`192.168.7.0/24` is no IPv4 address"),
            ("net0=ens19,10.0.0.1-fe80::1", "`fe80::1` is no IPv4 address"),
            ("net0=ens19,10.0.0.9-10.0.0.1", "the range ends at 10.0.0.1, before it begins"),
            ("net0=ens19,0.0.0.0-255.255.255.255", "has 4294967296 addresses, at most 256"),
            ("net0=ens19,10.0.0.0-10.0.1.0", "has 257 addresses"),
        ];
        for (text, wrong) in cases {
            let error = NamedNetwork::parse(text).unwrap_err();
            assert!(
                error.starts_with(&format!("understand --network {text}: ")) && error.contains(wrong) && error.contains("hint: "),
                "{error}"
            );
        }
        let all = NamedNetwork::parse_all(["net0=a", "x", "net0=b", "eth0=c"]).unwrap_err();
        assert!(all.len() == 2 && all[1].contains("net0 is named already"), "{all:?}");
        assert_eq!(NamedNetwork::parse_all(["net0=a", "eth0=a"]).unwrap().len(), 2);
    }
}
