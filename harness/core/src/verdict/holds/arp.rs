//! ARP answers: which MAC addresses answer, how many, whether the lease holder's, and for how long nobody did.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::super::context::Context;
use super::super::phrases;
use super::{Blocker, broken, undecided};
use crate::evidence::LeaseFact;
use crate::probe::{ArpFrame, ArpReport};
use crate::scenario::model::ArpProbe;

/// An answer belongs to the question before it, at most this long before: longer ago it answers somebody else.
const LATE_NS: u64 = 1_000_000_000;

/// Questions with who answered each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Answers {
    /// When each was asked, and the MAC addresses that answered it.
    pub(in super::super) questions: Vec<(u64, BTreeSet<String>)>,
    /// Every MAC address that answered, and how often.
    pub(in super::super) macs: BTreeMap<String, usize>,
    /// Answers that went to everybody.
    pub(in super::super) broadcast: u64,
    /// Announcements: time and MAC.
    pub(in super::super) gratuitous: Vec<(u64, String)>,
    /// Frames the kernel dropped.
    pub(in super::super) dropped: u64,
    /// When listening ended.
    pub(in super::super) to_ns: u64,
}

/// Replies (operation 2) of somebody who claims the address, announcements excluded.
fn answers(address: Ipv4Addr, report: &ArpReport) -> impl Iterator<Item = &ArpFrame> {
    report.frames.iter().filter(move |frame| frame.operation == 2 && frame.sender_ip == address && !frame.is_gratuitous())
}

impl Answers {
    pub(in super::super) fn of(address: Ipv4Addr, report: &ArpReport) -> Answers {
        let mut asked = report.asked_ns.clone();
        asked.sort_unstable();
        let mut found = Answers {
            questions: asked.iter().map(|at| (*at, BTreeSet::new())).collect(),
            dropped: report.dropped,
            to_ns: report.to_ns,
            ..Answers::default()
        };
        for frame in answers(address, report) {
            let mac = frame.sender_mac.to_ascii_lowercase();
            found.broadcast += u64::from(is_broadcast(&frame.eth_dst));
            let before = asked.partition_point(|at| *at <= frame.at_ns);
            if let Some((at, macs)) = before.checked_sub(1).and_then(|n| found.questions.get_mut(n))
                && frame.at_ns - *at <= LATE_NS
            {
                macs.insert(mac.clone());
            }
            *found.macs.entry(mac).or_default() += 1;
        }
        let announced = report.frames.iter().filter(|frame| frame.is_gratuitous() && frame.sender_ip == address);
        found.gratuitous = announced.map(|frame| (frame.at_ns, frame.sender_mac.to_ascii_lowercase())).collect();
        found
    }

    /// Questions nobody answered. An answer that comes late is counted for the question before it, which leaves its own without
    /// one; so when one MAC gave as many answers as there were questions, all of them count as answered.
    fn unanswered(&self) -> usize {
        let empty = self.questions.iter().filter(|(_, macs)| macs.is_empty()).count();
        let most = self.macs.values().max().copied().unwrap_or(0);
        empty.min(self.questions.len().saturating_sub(most))
    }

    /// The most MAC addresses that answered one question.
    pub(in super::super) fn overlap(&self) -> usize {
        self.questions.iter().map(|(_, macs)| macs.len()).max().unwrap_or(0)
    }
}

fn is_broadcast(mac: &str) -> bool {
    mac.eq_ignore_ascii_case("ff:ff:ff:ff:ff:ff")
}

pub(super) fn arp(probe: &ArpProbe, seen: &Answers, lease: Option<&LeaseFact>, context: &Context) -> Result<(), Blocker> {
    let Some(expect) = &probe.expect else { return Ok(()) };
    if seen.questions.is_empty() {
        return undecided("no ARP question was sent");
    }
    let macs: Vec<String> = seen.macs.keys().map(|mac| context.mac_in_words(mac)).collect();
    if expect.answerers == Some(0) {
        return match (macs.len(), seen.dropped) {
            (0, 0) => Ok(()),
            (0, dropped) => undecided(format!("{}: {dropped} dropped while nobody answered ARP", phrases::LOST)),
            (n, _) => broken(format!("{n} {}, expected none: {}", phrases::MACS, macs.join(", "))),
        };
    }
    let asks_for_answers = expect.answerers.is_some() || expect.every == Some(true) || expect.holder_of.is_some();
    if asks_for_answers && macs.is_empty() {
        if seen.dropped > 0 {
            return undecided(format!("{}: {} dropped while no answer was seen", phrases::LOST, seen.dropped));
        }
        return broken(format!("{} on {} ({} questions)", phrases::NO_ARP, probe.network, seen.questions.len()));
    }
    if let Some(wanted) = expect.answerers
        && macs.len() as u64 != u64::from(wanted)
    {
        return broken(format!("{} {}, expected {wanted}: {}", macs.len(), phrases::MACS, macs.join(", ")));
    }
    if expect.every == Some(true) && seen.unanswered() > 0 {
        let (missing, all) = (seen.unanswered(), seen.questions.len());
        return broken(format!("{missing} of {all} {}", phrases::SOME_UNANSWERED));
    }
    if let Some(service) = &expect.holder_of {
        holder(service, &probe.network, seen, lease, context)?;
    }
    match expect.unicast {
        Some(true) if seen.broadcast > 0 => broken(format!("{} {}", seen.broadcast, phrases::NOT_UNICAST)),
        Some(false) if seen.broadcast == 0 => broken("answers were unicast, expected broadcast"),
        _ => Ok(()),
    }
}

fn holder(service: &str, network: &str, seen: &Answers, lease: Option<&LeaseFact>, context: &Context) -> Result<(), Blocker> {
    let Some(lease) = lease else { return undecided(format!("the lease of {service} was not looked at")) };
    let Some(holder) = lease.holder.as_deref().filter(|_| lease.exists) else {
        let macs: Vec<String> = seen.macs.keys().map(|mac| context.mac_in_words(mac)).collect();
        return broken(format!("{} of {service}, yet ARP is answered by {}", phrases::NO_HOLDER, macs.join(", ")));
    };
    let Some((_, node)) = context.node_named(holder) else {
        return broken(format!("the lease of {service} is held by {holder}, which is no node of this lab"));
    };
    let Some(own) = context.mac_of(node, network) else {
        return undecided(format!("the hardware address of {network} on {holder} is not known"));
    };
    if let Some(mac) = seen.macs.keys().find(|mac| !mac.eq_ignore_ascii_case(&own)) {
        let who = context.mac_in_words(mac);
        return broken(format!("{who} answers and {} of {service}: the holder is {holder} ({own})", phrases::NOT_HOLDER));
    }
    Ok(())
}
