//! Lease election as client-go does it, without clock or network: what is seen goes in, what to do comes out.
//!
//! A candidate counts from its *own* last observation of a change, never from the times in the lease (clocks differ). A holder
//! that has not managed to renew for the renew deadline gives up; whoever sees no change for the lease duration may take over.
//! Writes are compare-and-swap by resourceVersion: the caller reports a conflict as a failure.

use std::time::Duration;

use crate::settings::L2Settings;

/// Time since some fixed moment, from the caller's monotonic clock.
pub(crate) type Instant = Duration;

/// The lease as the API has it, as far as it matters. Equal records = nothing changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// `spec.holderIdentity`; empty = nobody.
    pub(crate) holder: String,
    /// `spec.renewTime` as text.
    pub(crate) renewed: String,
    /// `spec.leaseTransitions`.
    pub(crate) transitions: i32,
}

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// There is no lease: create it as its holder.
    Create,
    /// Become holder: new acquireTime, one transition more.
    TakeOver,
    /// Still holder: new renewTime.
    Renew,
    /// Somebody else holds it and is not late.
    Nothing,
}

/// One node's part in the election of one lease.
#[derive(Debug, Clone)]
pub(crate) struct Election {
    identity: String,
    timing: L2Settings,
    /// How long a candidate waits beyond the lease duration (a fault; zero in an honest network).
    patience: Duration,
    observed: Option<(Record, Instant)>,
    renewed: Option<Instant>,
    /// When it had renewed last before it gave up, while it has not held since.
    gave_up: Option<Instant>,
}

impl Election {
    /// A candidate that has seen nothing yet.
    pub(crate) fn new(identity: &str, timing: L2Settings, patience: Duration) -> Election {
        Election { identity: identity.to_owned(), timing, patience, observed: None, renewed: None, gave_up: None }
    }

    /// What to write, given the lease as it is now (`None` = it does not exist).
    pub(crate) fn look(&mut self, lease: Option<&Record>, now: Instant) -> Write {
        let Some(record) = lease else {
            self.observed = None;
            return Write::Create;
        };
        if self.observed.as_ref().is_none_or(|(seen, _)| seen != record) {
            self.observed = Some((record.clone(), now));
        }
        // Once its lease has run out it is a candidate like the others; an honest one finds its own name there and need not wait.
        let ran_out = self.gave_up.is_some_and(|at| now >= at + self.timing.lease);
        let waits = ran_out && !self.patience.is_zero();
        if record.holder == self.identity && !waits {
            return Write::Renew;
        }
        // Whoever else is written there holds it, so this node no longer does.
        self.renewed = None;
        let since = self.observed.as_ref().map_or(now, |(_, at)| *at);
        if record.holder.is_empty() || now >= since + self.timing.lease + self.patience { Write::TakeOver } else { Write::Nothing }
    }

    /// The write went through.
    pub(crate) fn written(&mut self, now: Instant) {
        self.renewed = Some(now);
        self.gave_up = None;
    }

    /// The write or the look failed: a holder that cannot renew for the renew deadline gives up.
    pub(crate) fn failed(&mut self, now: Instant) {
        if self.renewed.is_some_and(|at| now >= at + self.timing.renew_deadline) {
            self.gave_up = self.renewed.take();
        }
    }

    /// It was given back.
    pub(crate) fn released(&mut self) {
        self.renewed = None;
    }

    /// Whether this node holds the lease as far as it knows.
    pub(crate) fn holds(&self) -> bool {
        self.renewed.is_some()
    }

    /// When this node's own hold is stale: the moment the lease would have run out for everybody else.
    pub(crate) fn stale_at(&self) -> Option<Instant> {
        self.renewed.map(|at| at + self.timing.lease)
    }

    /// Pause before the next look: the retry period for the holder, that and up to 1.2 times more for candidates (`chance` in 0..=1).
    pub(crate) fn pause(&self, chance: f64) -> Duration {
        if self.holds() { self.timing.retry } else { self.timing.retry.mul_f64(1.0 + 1.2 * chance.clamp(0.0, 1.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: L2Settings =
        L2Settings { lease: Duration::from_secs(3), renew_deadline: Duration::from_secs(1), retry: Duration::from_millis(500) };

    fn at(ms: u64) -> Instant {
        Duration::from_millis(ms)
    }

    fn held(holder: &str, renewed: &str) -> Record {
        Record { holder: holder.into(), renewed: renewed.into(), transitions: 0 }
    }

    #[test]
    fn candidate_takes_over_one_lease_duration_after_its_own_last_sight_of_a_renewal() {
        let mut b = Election::new("b", SEED, Duration::ZERO);
        assert_eq!(b.look(Some(&held("a", "1")), at(0)), Write::Nothing);
        assert_eq!(b.look(Some(&held("a", "2")), at(1_000)), Write::Nothing);
        assert_eq!(b.look(Some(&held("a", "2")), at(3_999)), Write::Nothing);
        assert_eq!(b.look(Some(&held("a", "2")), at(4_000)), Write::TakeOver);
    }

    #[test]
    fn released_and_missing_leases_are_taken_at_once() {
        let mut b = Election::new("b", SEED, Duration::ZERO);
        assert_eq!(b.look(Some(&held("", "2")), at(0)), Write::TakeOver);
        assert_eq!(b.look(None, at(0)), Write::Create);
    }

    #[test]
    fn holder_that_cannot_renew_gives_up_at_the_renew_deadline_and_is_stale_at_the_lease_duration() {
        let mut a = Election::new("a", SEED, Duration::ZERO);
        a.look(None, at(0));
        a.written(at(0));
        assert_eq!(a.stale_at(), Some(at(3_000)));
        a.failed(at(999));
        assert!(a.holds());
        a.failed(at(1_000));
        assert!(!a.holds());
    }

    #[test]
    fn holder_that_sees_another_holder_has_lost_at_once() {
        let mut a = Election::new("a", SEED, Duration::ZERO);
        a.look(None, at(0));
        a.written(at(0));
        assert_eq!(a.look(Some(&held("b", "9")), at(10)), Write::Nothing);
        assert!(!a.holds());
    }

    #[test]
    fn impatience_of_the_fault_is_added_to_the_lease_duration() {
        let mut b = Election::new("b", SEED, Duration::from_secs(6));
        b.look(Some(&held("a", "1")), at(0));
        assert_eq!(b.look(Some(&held("a", "1")), at(8_999)), Write::Nothing);
        assert_eq!(b.look(Some(&held("a", "1")), at(9_000)), Write::TakeOver);
    }

    #[test]
    fn a_holder_that_gave_up_renews_its_own_lease_at_once_and_under_the_fault_waits_like_the_others() {
        for (patience, at_once) in [(Duration::ZERO, Write::Renew), (Duration::from_secs(6), Write::Nothing)] {
            let mut a = Election::new("a", SEED, patience);
            a.look(None, at(0));
            a.written(at(0));
            assert_eq!(a.look(Some(&held("a", "1")), at(100)), Write::Renew, "while it holds");
            a.failed(at(1_100));
            assert_eq!(a.look(Some(&held("a", "1")), at(2_900)), Write::Renew, "before the lease has run out");
            assert_eq!(a.look(Some(&held("a", "1")), at(5_000)), at_once);
            assert_ne!(a.look(Some(&held("a", "1")), at(9_100)), Write::Nothing);
            a.written(at(9_100));
            assert_eq!(a.look(Some(&held("a", "2")), at(9_600)), Write::Renew);
        }
        // One that begins anew gave nothing up.
        let mut anew = Election::new("a", SEED, Duration::from_secs(6));
        assert_eq!(anew.look(Some(&held("a", "1")), at(0)), Write::Renew);
    }

    #[test]
    fn candidates_pause_between_one_and_two_point_two_retry_periods() {
        let b = Election::new("b", SEED, Duration::ZERO);
        assert_eq!((b.pause(0.0), b.pause(1.0)), (at(500), at(1_100)));
    }
}
