//! Placeholders in manifests: what a scenario cannot know because it never names a provider.
//!
//! `${vip:net0:0}` in a manifest or an `address` stands for a value of the lab. The list is closed; an unknown one is a mistake at
//! plan time. The engine fills them from the facts of the lab with [`substitute`].

use std::fmt;

/// A value of the lab.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Placeholder {
    /// `${vip:<network>:<n>}`: the n-th address (from 0) of the range for virtual addresses on that network.
    Vip {
        /// Network, by its interface name.
        network: String,
        /// Number in the range, from 0.
        n: u32,
    },
    /// `${interface:<network>}`: the interface by which nodes are on that network: its own name where nodes are made, and what
    /// `--network` says where they are found.
    Interface(String),
    /// `${namespace}`: the namespace of the run.
    Namespace,
    /// `${node:<name>}`: the Kubernetes name of a node, given its name in the scenario.
    Node(String),
    /// `${address:<name>}`: the address of that node on the node network.
    Address(String),
    /// `${api:pool}`: the apiVersion of CiliumLoadBalancerIPPool for the Cilium version of the profile.
    PoolApi,
    /// `${api:tlsroute}`: the apiVersion of TLSRoute for the Gateway API release in force.
    TlsRouteApi,
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Placeholder::Vip { network, n } => write!(f, "${{vip:{network}:{n}}}"),
            Placeholder::Interface(network) => write!(f, "${{interface:{network}}}"),
            Placeholder::Namespace => f.write_str("${namespace}"),
            Placeholder::Node(name) => write!(f, "${{node:{name}}}"),
            Placeholder::Address(name) => write!(f, "${{address:{name}}}"),
            Placeholder::PoolApi => f.write_str("${api:pool}"),
            Placeholder::TlsRouteApi => f.write_str("${api:tlsroute}"),
        }
    }
}

/// Why a text with placeholders cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPlaceholder {
    /// There is no such placeholder.
    #[error(
        "`{text}` is not a placeholder: expected ${{vip:<network>:<n>}}, ${{interface:<network>}}, ${{namespace}}, ${{node:<name>}}, \
         ${{address:<name>}}, ${{api:pool}} or ${{api:tlsroute}}"
    )]
    Unknown {
        /// As it stands.
        text: String,
        /// Byte where it begins.
        at: usize,
    },
    /// `${` without `}`.
    #[error("a placeholder begins with ${{ and never ends")]
    Open {
        /// Byte where it begins.
        at: usize,
    },
    /// The lab has no such value.
    #[error("this lab has no value for `{placeholder}`")]
    NoValue {
        /// Which.
        placeholder: String,
    },
}

/// Every placeholder of a text with the bytes it takes, in order.
///
/// # Errors
/// The first that is none.
pub fn find(text: &str) -> Result<Vec<(std::ops::Range<usize>, Placeholder)>, BadPlaceholder> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("${").map(|at| from + at) {
        // It ends on its own line: what is far away belongs to something else.
        let line = text[start..].lines().next().unwrap_or_default();
        let end = line.find('}').map(|at| start + at + 1).ok_or(BadPlaceholder::Open { at: start })?;
        let whole = &text[start..end];
        let inner = &text[start + 2..end - 1];
        let placeholder = parse(inner).ok_or_else(|| BadPlaceholder::Unknown { text: crate::scenario::tree::shorten(whole), at: start })?;
        found.push((start..end, placeholder));
        from = end;
    }
    Ok(found)
}

fn parse(inner: &str) -> Option<Placeholder> {
    let pieces: Vec<&str> = inner.split(':').collect();
    if pieces.iter().any(|piece| piece.is_empty()) {
        return None;
    }
    match pieces.as_slice() {
        ["vip", network, n] => Some(Placeholder::Vip { network: (*network).to_owned(), n: n.parse().ok()? }),
        ["interface", network] => Some(Placeholder::Interface((*network).to_owned())),
        ["namespace"] => Some(Placeholder::Namespace),
        ["node", name] => Some(Placeholder::Node((*name).to_owned())),
        ["address", name] => Some(Placeholder::Address((*name).to_owned())),
        ["api", "pool"] => Some(Placeholder::PoolApi),
        ["api", "tlsroute"] => Some(Placeholder::TlsRouteApi),
        _ => None,
    }
}

/// The text with every placeholder replaced by what `lookup` says.
///
/// # Errors
/// A placeholder that is none, or for which `lookup` has nothing.
pub fn substitute(text: &str, lookup: impl Fn(&Placeholder) -> Option<String>) -> Result<String, BadPlaceholder> {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (range, placeholder) in find(text)? {
        out.push_str(&text[from..range.start]);
        let value = lookup(&placeholder).ok_or_else(|| BadPlaceholder::NoValue { placeholder: placeholder.to_string() })?;
        out.push_str(&value);
        from = range.end;
    }
    out.push_str(&text[from..]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn placeholders_are_filled_from_the_lab() {
        let lookup = |placeholder: &Placeholder| match placeholder {
            Placeholder::Vip { network, n } if network == "net0" => Some(format!("10.9.1.{}", 220 + n)),
            Placeholder::Interface(network) if network == "net0" => Some("ens19".to_owned()),
            Placeholder::Namespace => Some("default".to_owned()),
            _ => None,
        };
        let text = "start: ${vip:net0:0}\nstop: ${vip:net0:9} # ${namespace} $ {x} $x ^${interface:net0}$";
        assert_eq!(substitute(text, lookup).unwrap(), "start: 10.9.1.220\nstop: 10.9.1.229 # default $ {x} $x ^ens19$");
        assert!(matches!(substitute("${vip:eth0:0}", lookup), Err(BadPlaceholder::NoValue { .. })));
    }

    #[test]
    fn what_is_no_placeholder_is_refused() {
        for text in ["${", "${}", "${vip}", "${vip:net0}", "${vip:net0:x}", "${vip:net0:0:1}", "${home}", "${api:gateway}", "${vip::1}"] {
            assert!(find(text).is_err(), "{text}");
        }
        assert!(find("no placeholder, $(VAR), $$, }").unwrap().is_empty());
    }
}
