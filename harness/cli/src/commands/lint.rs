//! `plumb lint`: every mistake of scenario files and profiles, and what is known of a flag set.

use std::path::Path;

use anyhow::Context;
use plumb_core::profile;
use plumb_core::scenario;
use plumb_engine::library::{Library, LibraryError};

use super::flags;
use crate::args::Lint;
use crate::exit::Exit;
use crate::output;

pub(crate) fn lint(scenarios: Option<&Path>, lint: &Lint) -> anyhow::Result<Exit> {
    if lint.flags.are_asked_for() {
        return flags::lint(&Library::find(scenarios)?, &lint.flags, &lint.names);
    }
    if lint.flags.json || lint.flags.cli_version.is_some() {
        anyhow::bail!("choose a flag set: --json and --cli-version go with --profile, --values or --set");
    }
    if lint.names.is_empty() { everything(&Library::find(scenarios)?) } else { named(scenarios, &lint.names) }
}

fn everything(library: &Library) -> anyhow::Result<Exit> {
    let mut tally = Tally::default();
    for name in library.names()? {
        tally.take(library.scenario(&name).map(drop))?;
    }
    for name in library.profile_names()? {
        tally.take(library.profile(&name).map(drop))?;
    }
    Ok(tally.end())
}

fn named(scenarios: Option<&Path>, names: &[String]) -> anyhow::Result<Exit> {
    let mut tally = Tally::default();
    for name in names {
        let path = Path::new(name);
        if path.is_file() {
            let text = std::fs::read_to_string(path).with_context(|| format!("read {name}"))?;
            let of_profile = path.parent().and_then(Path::file_name).is_some_and(|folder| folder == "profiles");
            let parsed = if of_profile { profile::parse(name, &text).map(drop) } else { scenario::parse(name, &text).map(drop) };
            tally.take(parsed.map_err(|mistakes| LibraryError::Mistakes(Box::new(mistakes))))?;
        } else {
            tally.take(Library::find(scenarios)?.scenario(name).map(drop))?;
        }
    }
    Ok(tally.end())
}

#[derive(Default)]
struct Tally {
    files: usize,
    bad: usize,
}

impl Tally {
    /// Shows the mistakes of a file and goes on; anything else ends the run.
    fn take(&mut self, outcome: Result<(), LibraryError>) -> anyhow::Result<()> {
        self.files += 1;
        match outcome {
            Ok(()) => Ok(()),
            Err(LibraryError::Mistakes(mistakes)) => {
                self.bad += 1;
                output::say(&mistakes.render(output::paint()));
                Ok(())
            }
            Err(other) => Err(other.into()),
        }
    }

    fn end(&self) -> Exit {
        output::say(&format!("{} files, {} with mistakes", self.files, self.bad));
        match (self.files, self.bad) {
            (0, _) => Exit::NothingRan,
            (_, 0) => Exit::Pass,
            _ => Exit::BadInput,
        }
    }
}
