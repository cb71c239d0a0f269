//! Ctrl-C and SIGTERM: once closes the labs and reports, twice stops at once (the janitor cleans up).

use plumb_engine::run::Stop;
use tokio::signal::unix::{SignalKind, signal};

/// Exit status of a program that SIGINT ended, as shells count it.
const INTERRUPTED: i32 = 130;

/// Stops `stop` at the first signal and the program at the second.
pub(crate) fn watch(stop: &Stop) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = stop.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
                return;
            };
            for count in 1.. {
                let name = tokio::select! {
                    _ = interrupt.recv() => "Ctrl-C",
                    _ = terminate.recv() => "SIGTERM",
                };
                if count > 1 {
                    std::process::exit(INTERRUPTED);
                }
                crate::output::note(&format!("{name}: closing the labs and reporting; once more stops at once"));
                stop.because(name);
            }
        });
    })?;
    Ok(())
}
