//! `plumb-agent session` speaks the probe protocol on standard input and output; `plumb-agent serve` runs a pod's servers;
//! `plumb-agent wait` only waits; `plumb-agent interface` names an interface or switches it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let verb = args.next();
    match verb.as_deref().and_then(|verb| verb.to_str()) {
        Some("session") => plumb_agent::session_main(),
        Some("serve") => plumb_agent::serve_main(args),
        Some("wait") => plumb_agent::wait_main(),
        Some("interface") => plumb_agent::interface_main(args),
        _ => ExitCode::from(2),
    }
}
