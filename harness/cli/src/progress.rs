//! Progress: a line a trial that moves on a terminal, plain lines everywhere else.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use plumb_engine::run::{Event, Listener};

use crate::output::note;

/// Shows what several trials are at.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    bars: Option<MultiProgress>,
}

impl Progress {
    /// For standard error as it is: moving lines on a terminal outside CI.
    pub(crate) fn new() -> Progress {
        let moving = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
        Progress { bars: moving.then(MultiProgress::new) }
    }

    /// A listener for one trial, and what to call when it has ended.
    pub(crate) fn trial(&self, name: &str) -> (Listener, Ended) {
        match &self.bars {
            Some(bars) => moving(bars, name),
            None => (plain(name), Ended(None)),
        }
    }

    /// Shows downloads: parts of a lab that nobody gave and that are not here.
    pub(crate) fn show_downloads(&self) {
        let bars = self.bars.clone();
        let shown: Mutex<HashMap<String, ProgressBar>> = Mutex::default();
        plumb_engine::parts::watch_downloads(move |download| {
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let known = shown.get(download.what);
            match (known, download.ended) {
                (Some(bar), true) => {
                    bar.finish_and_clear();
                    shown.remove(download.what);
                }
                (Some(bar), false) => {
                    bar.set_length(download.total.unwrap_or(0));
                    bar.set_position(download.bytes);
                }
                (None, true) => {}
                (None, false) => {
                    let bar = match &bars {
                        Some(bars) => bars.add(ProgressBar::new(download.total.unwrap_or(0))),
                        None => {
                            note(&format!("downloading {}", download.what));
                            ProgressBar::hidden()
                        }
                    };
                    if let Ok(style) = ProgressStyle::with_template("{prefix}  {bytes} of {total_bytes}  {bytes_per_sec}  {wide_bar}") {
                        bar.set_style(style);
                    }
                    bar.set_prefix(download.what.to_owned());
                    shown.insert(download.what.to_owned(), bar);
                }
            }
        });
    }

    /// Writes a line to standard error without tearing the moving lines.
    pub(crate) fn note(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| note(text)),
            None => note(text),
        }
    }

    /// Writes a finished text to standard output without tearing the moving lines.
    pub(crate) fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| crate::output::say(text)),
            None => crate::output::say(text),
        }
    }
}

/// Ends a trial's line.
#[derive(Debug)]
pub(crate) struct Ended(Option<ProgressBar>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn moving(bars: &MultiProgress, name: &str) -> (Listener, Ended) {
    let bar = bars.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}  {elapsed}  {wide_msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    let shown = bar.clone();
    let listener: Listener = Arc::new(move |event| match event {
        // How to look into a lab that stays is said when everything else is.
        Event::Began { .. } | Event::Kept(_) => {}
        Event::Phase(phase) => shown.set_message(phase),
        Event::Waiting { what } => shown.set_message(format!("waits for {what}")),
        Event::Step { id, verb } => shown.set_message(format!("{verb} {id}")),
    });
    (listener, Ended(Some(bar)))
}

fn plain(name: &str) -> Listener {
    let name = name.to_owned();
    Arc::new(move |event| match event {
        Event::Began { folder } => note(&format!("{name}: began, evidence in {}", folder.display())),
        Event::Waiting { what } => note(&format!("{name}: waits for {what}")),
        // Steps are in the evidence; a log needs a line a phase at most.
        Event::Kept(_) | Event::Phase(_) | Event::Step { .. } => {}
    })
}
