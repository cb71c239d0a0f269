//! Exit codes.

use std::process::ExitCode;

use plumb_core::verdict::Outcome;
use plumb_engine::provider::Unfit;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything passed, or what was asked was done.
    Pass,
    /// A promise was broken.
    Fail,
    /// The evidence does not decide.
    Unknown,
    /// The author's or the user's mistake.
    BadInput,
    /// Nothing ran, which is never green.
    NothingRan,
    /// As a command that was run for somebody.
    Of(u8),
}

impl Exit {
    /// Of trials that ran; none at all is [`Exit::NothingRan`].
    pub(crate) fn of(outcomes: impl IntoIterator<Item = Outcome>) -> Exit {
        match outcomes.into_iter().max() {
            None => Exit::NothingRan,
            Some(Outcome::Pass) => Exit::Pass,
            Some(Outcome::Unknown) => Exit::Unknown,
            Some(Outcome::Fail) => Exit::Fail,
        }
    }
}

/// Of an error: bad input, unless what was given is right and only the world is not.
pub(crate) fn of_error(error: &anyhow::Error) -> Exit {
    match error.downcast_ref::<Unfit>() {
        Some(Unfit::Trouble(_)) => Exit::Unknown,
        Some(Unfit::Mistake(_)) | None => Exit::BadInput,
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Pass => 0,
            Exit::Fail => 1,
            Exit::Unknown => 2,
            Exit::BadInput => 3,
            Exit::NothingRan => 4,
            Exit::Of(code) => code,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worst_outcome_decides_and_nothing_is_not_green() {
        assert_eq!(Exit::of([]), Exit::NothingRan);
        assert_eq!(Exit::of([Outcome::Pass]), Exit::Pass);
        assert_eq!(Exit::of([Outcome::Pass, Outcome::Unknown]), Exit::Unknown);
        assert_eq!(Exit::of([Outcome::Fail, Outcome::Unknown, Outcome::Pass]), Exit::Fail);
    }
}
