//! The door of every binary that uses this crate: the same program is also the agent, the reference network and the janitor, started
//! again with another first argument. So there is nothing to install, and what runs in a lab is what was built.

use std::path::PathBuf;
use std::process::ExitCode;

/// Does what the first argument asks when it is one of ours, and returns the exit status; `None` for everybody else's arguments.
///
/// To be called first thing in `main`, while there is one thread: the reference network enters namespaces.
pub fn dispatch() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let verb = args.next()?;
    match verb.to_str()? {
        "__agent" => {
            let mode = args.next().unwrap_or_default();
            match mode.to_str() {
                Some("session") => Some(plumb_agent::session_main()),
                Some("serve") => Some(plumb_agent::serve_main(args)),
                Some("wait") => Some(plumb_agent::wait_main()),
                _ => Some(ExitCode::from(3)),
            }
        }
        "__refnet" => Some(plumb_refnet::supervisor::main(&PathBuf::from(args.next().unwrap_or_default()))),
        "__refnode" => {
            let folder = PathBuf::from(args.next().unwrap_or_default());
            let name = args.next().unwrap_or_default();
            Some(plumb_refnet::node::main(&folder, &name.to_string_lossy()))
        }
        "__refagent" => {
            let folder = PathBuf::from(args.next().unwrap_or_default());
            let name = args.next().unwrap_or_default();
            let generation = args.next().and_then(|text| text.to_str()?.parse().ok())?;
            Some(plumb_refnet::node::agent_main(&folder, &name.to_string_lossy(), generation))
        }
        "__janitor" => Some(crate::janitor::main(args.map(|arg| arg.to_string_lossy().into_owned()))),
        "__keeper" => Some(crate::provider::kind::keeper::main(args.map(|arg| arg.to_string_lossy().into_owned()))),
        "__lab" => Some(crate::labs::keeper::main()),
        _ => None,
    }
}
