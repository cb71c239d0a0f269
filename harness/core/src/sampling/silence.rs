//! What several waits of one run know of each other: a path that has answered nothing for a whole wait gets only a part of one from the
//! waits after, because what was never there would cost each of them the whole. As soon as it answers, it gets whole waits again.

use std::collections::BTreeSet;

use super::Decision;

/// The part of a wait that a silent path gets.
const SHARE: u64 = 10;

/// The paths that are known to answer nothing.
#[derive(Debug, Clone, Default)]
pub struct Silence {
    known: BTreeSet<String>,
}

impl Silence {
    /// Whether one of these paths is known to answer nothing.
    pub fn knows(&self, paths: &[String]) -> bool {
        paths.iter().any(|path| self.known.contains(path))
    }

    /// How long to wait for these paths, given a whole wait.
    pub fn limit_ms(&self, paths: &[String], whole_ms: u64) -> u64 {
        if self.knows(paths) { whole_ms / SHARE } else { whole_ms }
    }

    /// Takes in how a wait for these paths ended, and which of them answered nothing at its last look.
    pub fn learn(&mut self, paths: &[String], silent: Option<String>, ended: Decision) {
        self.known.retain(|known| !paths.contains(known));
        self.known.extend(silent.filter(|_| ended == Decision::Expired));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_path_is_waited_for_once_and_gets_whole_waits_again_when_it_answers() {
        let (one, two) = (["worker:80".to_owned()], ["worker:80".to_owned(), "worker2:80".to_owned()]);
        let mut silence = Silence::default();
        assert_eq!(silence.limit_ms(&two, 20_000), 20_000);
        silence.learn(&two, Some(one[0].clone()), Decision::Expired);
        assert_eq!((silence.limit_ms(&one, 20_000), silence.limit_ms(&two, 20_000)), (2_000, 2_000));
        assert_eq!(silence.limit_ms(&["worker2:80".to_owned()], 20_000), 20_000);
        silence.learn(&one, None, Decision::Held);
        assert_eq!(silence.limit_ms(&two, 20_000), 20_000);
        // One that answers, but with another revision, was not silent.
        silence.learn(&one, None, Decision::Expired);
        assert!(!silence.knows(&one));
    }
}
