//! `plumb shell`: a shell or a command at a vantage point of a lab that is up.

use std::io::IsTerminal;

use anyhow::bail;
use plumb_engine::labs::door::{self, Vantage};
use plumb_engine::labs::{self};

use crate::args::Shell;
use crate::exit::Exit;
use crate::output;

pub(crate) fn shell(shell: &Shell) -> anyhow::Result<Exit> {
    let (name, vantage) = place(&shell.place)?;
    let record = labs::find(name)?;
    if shell.command.is_empty() && std::io::stdin().is_terminal() {
        output::note(&format!("lab {}, {vantage}; `exit` leaves it", record.name));
    }
    let status = door::run(&record, &vantage, &shell.command)?;
    Ok(Exit::Of(door::code(status)))
}

/// Lab and vantage point; either may be left out.
fn place(words: &[String]) -> anyhow::Result<(Option<&str>, Vantage)> {
    let vantage = |text: &str| match Vantage::read(text) {
        Some(vantage) => Ok(vantage),
        None => bail!("enter `{text}`: it is no vantage point\nhint: vantage points are client, node/NAME and pod/NAMESPACE/NAME"),
    };
    match words {
        [] => Ok((None, Vantage::Here)),
        [one] => match Vantage::read(one) {
            Some(vantage) => Ok((None, vantage)),
            None if one.contains('/') => Ok((None, vantage(one)?)),
            None => Ok((Some(one), Vantage::Here)),
        },
        [name, text, ..] => Ok((Some(name), vantage(text)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lab_and_vantage_point_are_told_apart() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let cases = [
            ("", (None, "this machine")),
            ("lab", (Some("lab"), "this machine")),
            ("client", (None, "client")),
            ("lab node/worker", (Some("lab"), "node/worker")),
            ("pod/web", (None, "pod/default/web")),
        ];
        for (text, (name, vantage)) in cases {
            let words = words(text);
            let found = place(&words).map(|(name, vantage)| (name.map(str::to_owned), vantage.to_string()));
            assert_eq!(found.ok(), Some((name.map(str::to_owned), vantage.to_owned())), "{text}");
        }
        assert!(place(&words("lab worker")).is_err());
        assert!(place(&words("node/")).is_err());
    }
}
