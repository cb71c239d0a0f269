//! The stable parts of a verdict's `because`. A scenario's fault case names a part of the reason it expects (`because:`); these are
//! the parts it may count on. Everything around them (numbers, names, addresses) may change.
//!
//! | phrase | check | outcome |
//! |---|---|---|
//! | `payload in the clear` | never | fail |
//! | `payload readable inside VXLAN` | never | fail |
//! | `the control capture did not see the payload` | never | unknown |
//! | `the capture lost frames` | never, count | unknown |
//! | `the capture saw nothing at all` | never, count | unknown |
//! | `too little ciphertext between the two nodes` | never | unknown |
//! | `no ciphertext between the two nodes` | never | unknown |
//! | `the probe that carried the payload was not answered` | never | unknown |
//! | `the watch did not end well` | never, count, downtime, second hop | unknown |
//! | `there is no evidence of the watch` | the same | unknown |
//! | `TLS session ends at the backend` | http | fail |
//! | `TLS session ends before the backend` | http | fail |
//! | `served leaf is not that of` | http, tls | fail |
//! | `chain is not trusted` / `chain is trusted` | http, tls | fail |
//! | `ALPN chose` | http | fail |
//! | `payload not in the clear on the second hop` | http | fail |
//! | `answered though it had to fail` | http, tls, l4 | fail |
//! | `failed` (with the class: `failed: refused`, `failed: timeout`, `failed: alert`, ...) | http, tls, l4, ping | fail |
//! | `failed in another way` | http, tls, l4 | fail |
//! | `status 404, expected 200` | http | fail |
//! | `the wrong backend answered` | http | fail |
//! | `response header` / `request header`, then `is missing` or `is` | http | fail |
//! | `ping got` | ping | fail |
//! | `nobody answers ARP` | arp | fail |
//! | `questions went without an answer` | arp | fail |
//! | `MAC addresses answer` | arp, count | fail |
//! | `does not hold the lease` | arp | fail |
//! | `nobody holds the lease` | arp, lease | fail |
//! | `no other ARP question was answered in this run` | arp with `answerers: 0`, count of answerers that is 0 | unknown |
//! | `answers were not unicast` | arp | fail |
//! | `the lease is held` / `the holder is` / `lease duration is` | lease | fail |
//! | `condition` ... `is missing` / `is False` | status | fail |
//! | `does not exist` / `exists` | status | fail |
//! | `field` / `length` | status | fail |
//! | `not within` (then what blocked it) | eventually, promise | fail |
//! | `it held only after the limit` | eventually, promise | unknown |
//! | `the lab did not get ready within` | eventually, setup | unknown |
//! | `did not hold all the time` | consistently | fail |
//! | `gratuitous ARP frames` | count | fail |
//! | `frames with the payload` | count | fail |
//! | `the split does not fit the weights` | distribution | fail |
//! | `weight 0 was reached` | distribution | fail |
//! | `requests came to nothing` | distribution | fail |
//! | `another revision of the route answered` | distribution | fail |
//! | `a backend without weight answered` | distribution | fail |
//! | `away for` ... `longer than` | downtime | fail |
//! | `no disruption was seen` | downtime | unknown |
//! | `was still away when the watch ended` | downtime | unknown |
//! | `the backend itself did not run` | downtime of a load over HTTP | unknown |
//! | `nothing was answered at all` | downtime | unknown |
//! | `not in force:` / `the agents run another image:` / `agents were not restarted since the upgrade` | config | fail |
//! | `has changed:` | config | fail |
//! | `the API accepted what it had to refuse` | apply | fail |
//! | `the API refused for another reason` | apply | fail |
//! | `the step could not be carried out` | any | fail when it is the product's, else unknown |
//! | `there is no evidence of this check` | any | unknown |

/// Never: the payload was found outside any tunnel.
pub const CLEAR: &str = "payload in the clear";
/// Never: the payload was found inside VXLAN.
pub const IN_VXLAN: &str = "payload readable inside VXLAN";
/// Never: the positive control failed.
pub const NO_CONTROL: &str = "the control capture did not see the payload";
/// A capture or ARP watch dropped frames.
pub const LOST: &str = "the capture lost frames";
/// A capture is blind.
pub const BLIND: &str = "the capture saw nothing at all";
/// Never: less ciphertext than payload.
pub const LITTLE_CIPHERTEXT: &str = "too little ciphertext between the two nodes";
/// Never: no ciphertext.
pub const NO_CIPHERTEXT: &str = "no ciphertext between the two nodes";
/// Never: nothing was sent that could have been seen.
pub const UNANSWERED: &str = "the probe that carried the payload was not answered";
/// A watch is not whole.
pub const BROKEN_WATCH: &str = "the watch did not end well";
/// A watch left nothing.
pub const NO_WATCH: &str = "there is no evidence of the watch";
/// TLS: client and backend export the same keys.
pub const ENDS_AT_BACKEND: &str = "TLS session ends at the backend";
/// TLS: they do not.
pub const ENDS_BEFORE_BACKEND: &str = "TLS session ends before the backend";
/// TLS: another certificate.
pub const OTHER_LEAF: &str = "served leaf is not that of";
/// TLS: the chain would be refused.
pub const UNTRUSTED: &str = "chain is not trusted";
/// TLS: the chain would be accepted.
pub const TRUSTED: &str = "chain is trusted";
/// TLS: the protocol chosen.
pub const ALPN: &str = "ALPN chose";
/// TLS: nothing readable behind the gateway.
pub const SECOND_HOP_HIDDEN: &str = "payload not in the clear on the second hop";
/// A failure was promised.
pub const ANSWERED: &str = "answered though it had to fail";
/// A failure.
pub const FAILED: &str = "failed";
/// Another failure was promised.
pub const FAILED_OTHERWISE: &str = "failed in another way";
/// HTTP: another backend id.
pub const WRONG_BACKEND: &str = "the wrong backend answered";
/// Ping: another outcome.
pub const PING: &str = "ping got";
/// ARP: silence.
pub const NO_ARP: &str = "nobody answers ARP";
/// ARP: some silence.
pub const SOME_UNANSWERED: &str = "questions went without an answer";
/// ARP: how many answer.
pub const MACS: &str = "MAC addresses answer";
/// ARP: the wrong node answers.
pub const NOT_HOLDER: &str = "does not hold the lease";
/// Lease: no holder.
pub const NO_HOLDER: &str = "nobody holds the lease";
/// ARP: silence without a control.
pub const NO_ARP_CONTROL: &str = "no other ARP question was answered in this run";
/// ARP: broadcast answers.
pub const NOT_UNICAST: &str = "answers were not unicast";
/// Lease: it has a holder.
pub const HELD: &str = "the lease is held";
/// Lease: the wrong holder.
pub const HOLDER: &str = "the holder is";
/// Lease: another duration.
pub const LEASE_DURATION: &str = "lease duration is";
/// Eventually as a promise.
pub const NOT_WITHIN: &str = "not within";
/// Eventually as a promise: it held, too late to say that it held in time.
pub const LATE: &str = "it held only after the limit";
/// Eventually as readiness.
pub const NOT_READY: &str = "the lab did not get ready within";
/// Consistently.
pub const NOT_ALWAYS: &str = "did not hold all the time";
/// Count of announcements.
pub const GRATUITOUS: &str = "gratuitous ARP frames";
/// Count of payloads.
pub const PAYLOADS: &str = "frames with the payload";
/// Distribution: the test refuses.
pub const SPLIT: &str = "the split does not fit the weights";
/// Distribution: a leak.
pub const ZERO_WEIGHT: &str = "weight 0 was reached";
/// Distribution: errors.
pub const ERRORS: &str = "requests came to nothing";
/// Distribution: a stale route.
pub const STALE: &str = "another revision of the route answered";
/// Distribution: a stranger.
pub const STRANGER: &str = "a backend without weight answered";
/// Downtime: how long.
pub const AWAY: &str = "away for";
/// Downtime: nothing happened.
pub const NO_DISRUPTION: &str = "no disruption was seen";
/// Downtime: the lab's own server was the one that was away.
pub const STARVED: &str = "the backend itself did not run";
/// Downtime: it did not come back.
pub const STILL_AWAY: &str = "was still away when the watch ended";
/// Downtime: there was nothing to be away.
pub const NEVER_THERE: &str = "nothing was answered at all";
/// Config: a value that was promised.
pub const NOT_IN_FORCE: &str = "not in force:";
/// Config: another version.
pub const OTHER_IMAGE: &str = "the agents run another image:";
/// Config: agents of before.
pub const NOT_RESTARTED: &str = "agents were not restarted since the upgrade";
/// Config: what had to stay.
pub const CONFIG_CHANGED: &str = "has changed:";
/// Apply: no refusal.
pub const ACCEPTED: &str = "the API accepted what it had to refuse";
/// Apply: another refusal.
pub const REFUSED_OTHERWISE: &str = "the API refused for another reason";
/// Any step.
pub const NOT_CARRIED_OUT: &str = "the step could not be carried out";
/// Any check.
pub const NO_EVIDENCE: &str = "there is no evidence of this check";
