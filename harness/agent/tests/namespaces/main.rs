//! What needs interfaces of its own: ARP, captures and path MTU, in network namespaces made for it. Without leave to make them the tests
//! are ignored, with the reason.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod arp;
mod capture;
mod disruption;
mod ping;
mod wires;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They share the wires, and each counts everything that is on them.
    arguments.test_threads = Some(1);
    capture::start_reader();
    // Before the first thread: a process with several cannot enter a user namespace.
    let allowed = wires::enter();
    if let Err(reason) = &allowed {
        eprintln!("ignored: network namespaces cannot be made here: {reason}");
    }
    let tests: Vec<(&'static str, fn())> = [&arp::TESTS[..], &capture::TESTS[..], &ping::TESTS[..], &disruption::TESTS[..]].concat();
    let trials = tests.into_iter().map(|(name, test)| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(allowed.is_err())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
