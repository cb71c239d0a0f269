//! One node's candidacy for the lease of one Service: looks at the lease, writes it, and tells the responder.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::Instant;

use super::election::{Election, Record, Write};
use super::policy::Entry;
use super::responder::Responder;
use crate::chance::Chance;
use crate::fault::Fault;
use crate::settings::{L2Settings, NodeContext};

/// How long a former holder goes on answering under [`Fault::ArpTwoAfterPause`].
const AFTERGLOW: Duration = Duration::from_secs(1);

/// How long a holder is quiet after its link came back under [`Fault::ArpLinkBackSlow`].
const LINK_BACK: Duration = Duration::from_secs(16);

/// One node's candidacy for one lease.
pub(super) struct Candidate {
    leases: Api<Lease>,
    name: String,
    ctx: Arc<NodeContext>,
    timing: L2Settings,
    responder: Responder,
    devices: Vec<String>,
    election: Election,
    began: Instant,
    held_before: bool,
    /// Until when it answers nothing, under [`Fault::ArpLinkBackSlow`].
    quiet_until: Option<Instant>,
    answering: BTreeSet<Entry>,
    chance: Chance,
}

impl Candidate {
    pub(super) fn new(
        leases: Api<Lease>,
        name: String,
        ctx: Arc<NodeContext>,
        timing: L2Settings,
        responder: Responder,
        devices: Vec<String>,
    ) -> Candidate {
        let patience = if ctx.faults.has(Fault::FailoverTwiceTooSlow) { timing.lease * 3 } else { Duration::ZERO };
        let election = Election::new(&ctx.name, timing, patience);
        let chance = Chance::new(ctx.seed, &format!("{}/{name}", ctx.name));
        let (began, answering) = (Instant::now(), BTreeSet::new());
        Candidate {
            leases,
            name,
            ctx,
            timing,
            responder,
            devices,
            election,
            began,
            held_before: false,
            quiet_until: None,
            answering,
            chance,
        }
    }

    /// Takes part until the sender of `entries` is dropped; then falls silent and releases the lease.
    pub(super) async fn run(mut self, mut entries: watch::Receiver<BTreeSet<Entry>>) {
        loop {
            let wanted = entries.borrow_and_update().clone();
            let down = || wanted.iter().any(|entry| !has_link(&entry.interface));
            if self.ctx.faults.has(Fault::ArpLinkBackSlow) && down() {
                self.quiet_until = Some(Instant::now() + LINK_BACK);
            }
            if self.ctx.faults.has(Fault::ArpLinkLossReleases) && down() {
                self.let_go().await;
            } else {
                // A look that takes longer than the renew deadline counts as failed, as in client-go.
                let looked = tokio::time::timeout(self.timing.renew_deadline, self.look_and_write()).await;
                if !matches!(looked, Ok(Ok(()))) {
                    self.election.failed(self.began.elapsed());
                }
            }
            self.speak(wanted).await;
            let pause = self.election.pause(self.chance.unit());
            // The retry period is part of the specification of the election, not a wait for something.
            if let Ok(Err(_)) = tokio::time::timeout(pause, entries.changed()).await {
                break;
            }
        }
        self.responder.silence(&self.answering);
        self.let_go().await;
    }

    /// Gives the lease back, if it holds it.
    async fn let_go(&mut self) {
        if self.election.holds() {
            // Whoever comes next waits for the lease to run out if this does not arrive.
            let _ = tokio::time::timeout(self.timing.renew_deadline, self.release()).await;
            self.election.released();
        }
    }

    async fn look_and_write(&mut self) -> kube::Result<()> {
        let lease = self.leases.get_opt(&self.name).await?;
        let record = lease.as_ref().map(record);
        let write = self.election.look(record.as_ref(), self.began.elapsed());
        let lease = match write {
            Write::Nothing => return Ok(()),
            Write::Create => Lease { metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() }, spec: None },
            Write::TakeOver | Write::Renew => lease.unwrap_or_default(),
        };
        let sent = self.began.elapsed();
        let lease = self.filled(lease, write);
        match write {
            Write::Create => self.leases.create(&PostParams::default(), &lease).await?,
            _ => self.leases.replace(&self.name, &PostParams::default(), &lease).await?,
        };
        // Counted from when the write was sent: nobody else can have seen it earlier.
        self.election.written(sent);
        Ok(())
    }

    fn filled(&self, mut lease: Lease, write: Write) -> Lease {
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_default();
        if write != Write::Renew {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |n| n + 1));
            spec.holder_identity = Some(self.ctx.name.clone());
        }
        spec.lease_duration_seconds = Some(whole_seconds(self.timing.lease));
        spec.renew_time = Some(now);
        lease
    }

    async fn release(&self) -> kube::Result<()> {
        let mut lease = self.leases.get(&self.name).await?;
        if record(&lease).holder == self.ctx.name {
            let spec = LeaseSpec {
                holder_identity: Some(String::new()),
                lease_duration_seconds: Some(1),
                ..lease.spec.take().unwrap_or_default()
            };
            lease.spec = Some(spec);
            self.leases.replace(&self.name, &PostParams::default(), &lease).await?;
        }
        Ok(())
    }

    /// Tells the responder what this node's part is now, and announces what is new.
    async fn speak(&mut self, wanted: BTreeSet<Entry>) {
        let faults = &self.ctx.faults;
        let holds = self.election.holds();
        let quiet = self.quiet_until.is_some_and(|until| Instant::now() < until);
        let (entries, until) = match holds {
            true if quiet => (BTreeSet::new(), None),
            true if faults.has(Fault::ArpHeldButSilent) || faults.has(Fault::ArpNotLeaseHolder) => (BTreeSet::new(), None),
            true if faults.has(Fault::ArpWrongInterface) => (self.elsewhere(&wanted), self.stale_at()),
            true if faults.has(Fault::ArpTwoAfterPause) => (wanted, None),
            true => (wanted, self.stale_at()),
            false if faults.has(Fault::ArpTwoAnswerers) || faults.has(Fault::ArpNotLeaseHolder) => (wanted, None),
            false if faults.has(Fault::ArpTwoAfterPause) && self.held_before => (wanted, Some(Instant::now() + AFTERGLOW)),
            // Nothing new is answered and what ran is not prolonged.
            false if faults.has(Fault::ArpTwoAfterPause) => return,
            false => (BTreeSet::new(), None),
        };
        self.held_before = holds;
        self.responder.silence(&self.answering.difference(&entries).cloned().collect());
        let new = self.responder.answer(&entries, until);
        self.answering = entries;
        if holds && !self.ctx.faults.has(Fault::ArpNoGratuitous) {
            for entry in &new {
                // An announcement that is lost is lost: Cilium sends one, and neighbours age out by themselves.
                let _ = self.responder.announce(entry).await;
            }
        }
    }

    fn stale_at(&self) -> Option<Instant> {
        self.election.stale_at().map(|since| self.began + since)
    }

    /// The same addresses on the devices nobody asked for.
    fn elsewhere(&self, wanted: &BTreeSet<Entry>) -> BTreeSet<Entry> {
        let addresses: BTreeSet<_> = wanted.iter().map(|entry| entry.address).collect();
        let named: BTreeSet<_> = wanted.iter().map(|entry| &entry.interface).collect();
        let others = || self.devices.iter().filter(|device| !named.contains(device));
        addresses.iter().flat_map(|&address| others().map(move |d| Entry { address, interface: d.clone() })).collect()
    }
}

/// Whether an interface carries frames.
fn has_link(interface: &str) -> bool {
    use nix::net::if_::InterfaceFlags;
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    all.filter(|one| one.interface_name == interface).any(|one| one.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING))
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        renewed: spec.renew_time.map(|at| at.0.to_string()).unwrap_or_default(),
        transitions: spec.lease_transitions.unwrap_or_default(),
    }
}

/// `leaseDurationSeconds` is whole; less than a second counts as one (client-go).
fn whole_seconds(span: Duration) -> i32 {
    i32::try_from(span.as_secs().max(1)).unwrap_or(i32::MAX)
}
