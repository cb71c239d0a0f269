//! `plumb docs`: what a shell would really run of a Markdown file, and what that installs. Nothing is run.

use std::path::Path;

use anyhow::{Context, bail};
use plumb_core::docs::{self, Document, Installation, Ran};
use plumb_core::profile::Profile;
use plumb_core::version::Version;
use plumb_engine::library::Library;

use super::flags::{exit, tally};
use crate::args::Docs;
use crate::exit::Exit;
use crate::output;

/// Largest document that is read, in bytes.
const BYTES_MAX: u64 = 4 << 20;

pub(crate) fn docs(scenarios: Option<&Path>, asked: &Docs) -> anyhow::Result<Exit> {
    let name = asked.file.display().to_string();
    let size = std::fs::metadata(&asked.file).with_context(|| format!("read {name}"))?.len();
    if size > BYTES_MAX {
        bail!("read {name}: it has {size} bytes, at most {BYTES_MAX} are read");
    }
    let text = std::fs::read_to_string(&asked.file).with_context(|| format!("read {name}"))?;
    let cli = asked.cli_version.as_deref().map(Version::parse).transpose().context("read --cli-version")?;
    let library = Library::find(scenarios)?;
    let names = if asked.profiles.is_empty() { library.profile_names()? } else { asked.profiles.clone() };
    let profiles = names.iter().map(|name| library.profile(name)).collect::<Result<Vec<Profile>, _>>()?;
    let document = docs::read(&name, &text, &profiles, cli);
    if asked.json {
        output::say(&serde_json::to_string_pretty(&document)?);
    } else {
        show(&document);
    }
    Ok(if document.commands.is_empty() && document.findings.is_empty() { Exit::NothingRan } else { exit(&document.findings) })
}

fn show(document: &Document) {
    let mut previous = None;
    output::say("what a shell runs, pasted block by block:");
    for ran in &document.commands {
        output::say(&told(ran, previous));
        previous = Some(ran.line);
    }
    for installation in &document.installations {
        output::say(&installed(document, installation));
    }
    if !document.findings.is_empty() {
        output::say("");
    }
    document.findings.iter().for_each(|finding| output::say(&finding.to_string()));
    let (commands, installations) = (document.commands.len(), document.installations.len());
    output::say(&format!("{}: {commands} commands, {installations} installations: {}", document.file, tally(&document.findings)));
}

/// One command; its line is left out where several share one.
fn told(ran: &Ran, previous: Option<usize>) -> String {
    let line = if previous == Some(ran.line) { String::new() } else { ran.line.to_string() };
    let words: Vec<String> = ran.argv.iter().map(|word| quoted(word)).collect();
    let lost = if ran.not_found { "    <- command not found" } else { "" };
    format!("{line:>6}  {}{lost}", words.join(" "))
}

/// A word as it could be typed, in quotes where its bounds would not be seen.
fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "'\"\\;&|<>(){}*?#!`".contains(c));
    // A substitution stands as it is written.
    if plain || word.contains("$(") || word.contains("${") { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

fn installed(document: &Document, installation: &Installation) -> String {
    let Installation { line, command, version, means, passes, profile, differs } = installation;
    let version = version.as_ref().map_or_else(|| "no version".to_owned(), |version| format!("Cilium {}", version.trim_start_matches('v')));
    let mut text =
        format!("\n{}:{line}: {version}\n    means    {command}\n    passes   {} of {} values", document.file, passes.len(), means.len());
    match profile {
        None => text.push_str("\n    profile  none"),
        Some(profile) if differs.is_empty() => text.push_str(&format!("\n    profile  {profile}: what is meant is the profile as written")),
        Some(profile) => text.push_str(&format!("\n    profile  {profile}: {} values differ from it as written", differs.len())),
    }
    for difference in differs {
        let say = |value: &Option<serde_json::Value>| value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        text.push_str(&format!(
            "\n             {}: {} here, {} there",
            difference.key,
            say(&difference.document),
            say(&difference.profile)
        ));
    }
    text
}
