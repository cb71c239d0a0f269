//! `plumb`: find out whether what a platform promises about Cilium is true.
//!
//! This crate reads arguments, calls the engine and writes what people and machines read. It decides nothing but exit codes:
//! 0 all passed, 1 something failed, 2 unknown (the lab, not the product), 3 bad input, 4 nothing ran. `plumb shell` ends as its command.

mod args;

mod commands;

mod exit;

mod output;

mod progress;

mod signals;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Verb};
use exit::Exit;

fn main() -> ExitCode {
    if let Some(code) = plumb_engine::entry::dispatch() {
        return code;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    match perform(arguments) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::complain(&error);
            exit::of_error(&error).into()
        }
    }
}

fn perform(arguments: Arguments) -> anyhow::Result<Exit> {
    let scenarios = arguments.scenarios.as_deref();
    match arguments.verb {
        Verb::Run(run) => commands::run::run(scenarios, &run),
        Verb::List(list) => commands::list::list(scenarios, &list),
        Verb::Lint(lint) => commands::lint::lint(scenarios, &lint),
        Verb::Docs(docs) => commands::docs::docs(scenarios, &docs),
        Verb::Schema(schema) => commands::schema::schema(&schema),
        Verb::Judge(judge) => commands::judge::judge(&judge),
        Verb::Report(report) => commands::report::report(&report),
        Verb::Faults(faults) => commands::faults::faults(scenarios, &faults),
        Verb::Soak(soak) => commands::soak::soak(scenarios, &soak),
        Verb::Doctor(doctor) => commands::doctor::doctor(&doctor),
        Verb::Images(images) => commands::images::images(scenarios, &images),
        Verb::Rights => commands::rights::rights(),
        Verb::Up(up) => commands::up::up(scenarios, &up),
        Verb::Shell(shell) => commands::shell::shell(&shell),
        Verb::Down(down) => commands::down::down(&down),
        Verb::Labs(labs) => commands::labs::labs(&labs),
        Verb::Sweep(sweep) => commands::sweep::sweep(&sweep),
    }
}

/// `--help` and `--version` are answers; everything else is bad input.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to tell when the terminal is gone.
    let _ = error.print();
    if error.use_stderr() { Exit::BadInput.into() } else { Exit::Pass.into() }
}
