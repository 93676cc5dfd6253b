use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::lab::Progress;
use crate::units::Timestamp;

/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(120);

/// Progress on a terminal's standard error; nothing in a pipe.
pub(super) struct Shown {
    bar: Mutex<Option<ProgressBar>>,
}

impl Shown {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { bar: Mutex::new(None) })
    }

    fn bar(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other words for the stage.
    pub(super) fn note(&self, words: &str) {
        if let Some(bar) = &*self.bar() {
            bar.set_message(words.to_owned());
        }
    }

    /// Ends the last stage.
    pub(super) fn finish(&self) {
        if let Some(bar) = self.bar().take() {
            bar.finish();
        }
    }
}

fn bar(words: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{spinner} {msg:<60} {wide_bar} {percent:>3} % {elapsed:>4}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message(words.to_owned());
    bar.enable_steady_tick(TURN);
    bar
}

impl Progress for Shown {
    fn stage(&self, words: &str) {
        let mut current = self.bar();
        if let Some(last) = current.take() {
            last.finish();
        }
        *current = Some(bar(words));
    }

    fn step(&self, done: u64, all: u64) {
        if let Some(bar) = &*self.bar() {
            bar.set_length(all);
            bar.set_position(done);
        }
    }

    fn event(&self, _: Timestamp, words: &str) {
        if let Some(bar) = &*self.bar() {
            bar.println(words);
        }
    }
}
