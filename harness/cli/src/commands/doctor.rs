//! `plumb doctor`: what this machine lacks, what that stops, and the command that cures it.

use plumb_engine::doctor::{self, Finding, State};

use crate::args::Doctor;
use crate::exit::Exit;
use crate::output;

pub(crate) fn doctor(doctor: &Doctor) -> anyhow::Result<Exit> {
    let findings = doctor::examine(&doctor.parts.given());
    if doctor.json {
        output::say(&serde_json::to_string_pretty(&findings)?);
    } else {
        output::say(&text(&findings));
    }
    let refnet = findings.iter().any(|finding| finding.what == doctor::REFERENCE_NETWORK && finding.state.is_there());
    Ok(if refnet { Exit::Pass } else { Exit::NothingRan })
}

/// A line a finding, and under one that is not as it should be what it stops and the cure.
fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    let (mut text, mut lacking, mut unknown) = (String::new(), 0, 0);
    for Finding { what, state } in findings {
        let (word, seen, more) = match state {
            State::There { seen } => ("ok", seen, None),
            State::Lacking { seen, stops, cure } => {
                lacking += 1;
                ("lacking", seen, Some((stops, "cure ", cure)))
            }
            State::Unknown { seen, stops, ask } => {
                unknown += 1;
                ("unknown", seen, Some((stops, "ask  ", ask)))
            }
        };
        text.push_str(&format!("{word:8}{what:width$}  {seen}\n"));
        if let Some((stops, then, command)) = more {
            let indent = " ".repeat(10 + width);
            text.push_str(&format!("{indent}stops {stops}\n{indent}{then} {command}\n"));
        }
    }
    text.push_str(&format!("{} things looked at, {lacking} lacking, {unknown} unknown\n", findings.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_is_told_with_what_it_stops_and_its_cure() {
        let finding = |what: &str, state| Finding { what: what.into(), state };
        let own = |text: &str| text.to_owned();
        let findings = [
            finding("memory", State::There { seen: own("plenty") }),
            finding("kernel", State::Lacking { seen: own("old"), stops: own("kind"), cure: own("upgrade") }),
            finding("disk", State::Unknown { seen: own("hidden"), stops: own("kind"), ask: own("df") }),
        ];
        let expected = "ok      memory  plenty\n\
                        lacking kernel  old\n                stops kind\n                cure  upgrade\n\
                        unknown disk    hidden\n                stops kind\n                ask   df\n\
                        3 things looked at, 1 lacking, 1 unknown\n";
        assert_eq!(text(&findings), expected);
    }
}
