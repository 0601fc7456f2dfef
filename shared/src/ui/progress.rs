//! What goes on, while it does: a line or a bar on a terminal, plain lines elsewhere.

use super::Ui;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

impl Ui {
    /// Starts a line of progress, `prefix: …`: a bar on a terminal, plain lines elsewhere.
    pub fn task(&self, prefix: impl Into<String>) -> Task {
        let prefix = prefix.into();
        let bar = self.bars.then(|| {
            let bar = self.progress.add(ProgressBar::new_spinner());
            if let Ok(style) =
                ProgressStyle::with_template("{spinner:.cyan} {prefix:.bold} {elapsed:>3} {wide_msg}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(prefix.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Task {
            ui: self.clone(),
            prefix,
            bar,
        }
    }

    /// Starts a bar that fills up as parts of a whole come to their end; there is none where no bars are drawn.
    pub fn gauge(&self, prefix: impl Into<String>, parts: usize) -> Gauge {
        let bar = self.bars.then(|| {
            let bar = self.progress.add(ProgressBar::new(parts as u64));
            if let Ok(style) = ProgressStyle::with_template(
                "{prefix:.bold} [{bar:30.cyan}] {pos}/{len} {elapsed} {wide_msg}",
            ) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(prefix.into());
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        });
        Gauge { bar }
    }
}

/// One line of progress; cloneable into the task that advances it.
#[derive(Debug, Clone)]
pub struct Task {
    ui: Ui,
    prefix: String,
    bar: Option<ProgressBar>,
}

impl Task {
    /// Says what is being done now.
    pub fn say(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(message.to_owned()),
            None => self.ui.status(&format!("{}: {message}", self.prefix)),
        }
    }

    /// Ends the line with a message that stays.
    pub fn finish(&self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.ui.status(&format!("{}: {message}", self.prefix));
    }
}

/// A bar that fills up; it goes when this is dropped.
#[derive(Debug)]
pub struct Gauge {
    bar: Option<ProgressBar>,
}

impl Gauge {
    /// One more part has come to its end.
    pub fn advance(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Says something of what has ended, or of what is waited for.
    pub fn say(&self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(message.to_owned());
        }
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
