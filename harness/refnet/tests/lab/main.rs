//! Whole labs on this machine's kernel. Every trial makes its own, so they run side by side.

#![allow(clippy::unwrap_used, reason = "tests")]

mod announce;
mod encryption;
mod life;
mod pods;
mod topology;
mod world;

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(code) = dispatch() {
        return code;
    }
    let arguments = Arguments::from_args();
    let missing = plumb_refnet::lab::availability().err();
    if let Some(missing) = &missing {
        assert!(std::env::var_os("PLUMB_REQUIRE").is_none(), "{missing}; hint: {}", missing.cure);
    }
    let trials: Vec<Trial> =
        [topology::trials(), pods::trials(), encryption::trials(), life::trials(), announce::trials()].into_iter().flatten().collect();
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(missing.is_some())).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// This program is also every process of the lab.
fn dispatch() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let word = arguments.next()?;
    match word.to_str()? {
        "__refnet" => Some(plumb_refnet::supervisor::main(Path::new(&arguments.next()?))),
        "__refnode" => {
            let dir = arguments.next()?;
            Some(plumb_refnet::node::main(Path::new(&dir), arguments.next()?.to_str()?))
        }
        "__refagent" => {
            let (dir, name) = (arguments.next()?, arguments.next()?);
            let generation = arguments.next()?.to_str()?.parse().ok()?;
            Some(plumb_refnet::node::agent_main(Path::new(&dir), name.to_str()?, generation))
        }
        "__agent" => match arguments.next()?.to_str()? {
            "session" => Some(plumb_agent::session_main()),
            "serve" => Some(plumb_agent::serve_main(arguments)),
            "wait" => Some(plumb_agent::wait_main()),
            _ => None,
        },
        _ => None,
    }
}
