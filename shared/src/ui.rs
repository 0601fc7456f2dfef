//! The only place that prints and asks: data on standard output, everything else on standard error.

mod progress;
mod terminal;

pub use progress::{Gauge, Task};

use crate::args::{ColorChoice, ConfirmArgs, OutputArgs};
use crate::ci::{CiChoice, CiSystem};
use crate::env::{Env, place};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::format::{self, OutputFormat};
use console::style;
use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The user's side of a command.
#[derive(Debug, Clone)]
pub struct Ui {
    format: OutputFormat,
    quiet: bool,
    verbosity: u8,
    interactive: bool,
    /// Whether a document went out: a failure then must not print a second one.
    wrote_document: Arc<AtomicBool>,
    progress: MultiProgress,
    bars: bool,
    /// The system that would act on commands in either output.
    ci: Option<CiSystem>,
    /// The system that is told of what happens.
    told: Option<CiSystem>,
}

impl Ui {
    /// Resolves flags, environment and terminal into one way of printing.
    pub fn new(args: &OutputArgs, env: &Env) -> Self {
        let terminal = io::stderr().is_terminal();
        let dumb = env.get(place::TERM).is_some_and(|term| term == "dumb");
        let colors = use_colors(args.color, env, terminal && !dumb);
        console::set_colors_enabled_stderr(colors);
        console::set_colors_enabled(colors && io::stdout().is_terminal());
        let bars = terminal && !dumb && !args.quiet && !env.is_ci();
        let target = if bars {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            format: args.output,
            quiet: args.quiet,
            verbosity: args.verbose,
            interactive: terminal && io::stdin().is_terminal() && !env.is_ci(),
            wrote_document: Arc::default(),
            progress: MultiProgress::with_draw_target(target),
            bars,
            ci: CiSystem::of(env),
            told: CiSystem::of(env),
        }
    }

    /// The same for another CI system than the environment names. Who is told of nothing acts on commands all the same.
    #[must_use]
    pub(crate) fn telling(mut self, choice: CiChoice, env: &Env) -> Self {
        self.told = choice.told(env);
        self.ci = self.told.or(self.ci);
        self
    }

    /// The CI system that is told of what happens.
    pub const fn told_system(&self) -> Option<CiSystem> {
        self.told
    }

    /// The format that the user asked for.
    pub const fn format(&self) -> OutputFormat {
        self.format
    }

    /// How many times `-v` was given.
    pub(crate) const fn verbosity(&self) -> u8 {
        self.verbosity
    }

    /// Whether a person can be asked: standard input and standard error are terminals and no CI runs this.
    pub const fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Whether bars are drawn; else progress is plain lines.
    pub const fn draws_bars(&self) -> bool {
        self.bars
    }

    /// Writes data to standard output. A reader that has gone away (`| head`) is no error.
    pub fn data(&self, text: &str) -> Result<(), Failure> {
        let text = self.defused(text);
        let written = self.progress.suspend(|| {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        });
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::from_error(ExitStatus::Failed, &error))
            }
            Err(_) | Ok(()) => Ok(()),
        }
    }

    /// Writes the command's document as JSON or YAML to standard output; the formats for people print nothing.
    pub fn document<T: Serialize>(&self, document: &T) -> Result<(), Failure> {
        // What the CI system would take for a command is escaped as JSON does it: the document says the same.
        let escaped = |text: String| match self.ci {
            Some(_) => text.replace("##", "\\u0023#"),
            None => text,
        };
        let text = match self.format {
            OutputFormat::Json => format::to_json(document).map(escaped),
            OutputFormat::Ndjson => format::to_json_line(document).map(escaped),
            OutputFormat::Yaml => format::to_yaml(document),
            OutputFormat::Table | OutputFormat::Wide | OutputFormat::Name | OutputFormat::Values => {
                return Ok(());
            }
        };
        let text = text.map_err(|error| Failure::from_error(ExitStatus::Failed, &error))?;
        self.wrote_document.store(true, Ordering::SeqCst);
        self.data(&text)
    }

    /// Prints a line about what goes on.
    pub fn status(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Prints a line with `-v`.
    pub fn detail(&self, text: &str) {
        if self.verbosity > 0 {
            self.say(&style(text).for_stderr().dim().to_string());
        }
    }

    /// Prints a warning.
    pub fn warning(&self, text: &str) {
        self.say(&format!(
            "{} {text}",
            style("warning:").for_stderr().yellow().bold()
        ));
    }

    /// Prints a failure with its causes and hints, and its document when one is due.
    pub fn failure(&self, failure: &Failure, api_version: &str) {
        self.say(&format!(
            "{} {}",
            style("error:").for_stderr().red().bold(),
            failure.message
        ));
        for cause in &failure.causes {
            self.say(&format!("{} {cause}", style("caused by:").for_stderr().dim()));
        }
        if !failure.hints.is_empty() {
            self.say("");
        }
        for hint in &failure.hints {
            self.say(&format!("{} {hint}", style("hint:").for_stderr().cyan().bold()));
        }
        if self.format.is_document() && !self.wrote_document.load(Ordering::SeqCst) {
            // A failure while telling of a failure has nobody left to tell.
            let _ = self.document(&failure.document(api_version));
        }
    }

    /// Asks before something is written; see [`ConfirmArgs`].
    ///
    /// # Errors
    /// A usage failure when nobody can be asked and `--yes` is missing, and when the answer is no.
    pub async fn confirm(&self, question: &str, args: &ConfirmArgs) -> Result<(), Failure> {
        if args.yes {
            return Ok(());
        }
        if !self.interactive {
            return Err(
                Failure::usage("this changes something and nobody can be asked to confirm it")
                    .hint("read the plan above, then run the command again with --yes"),
            );
        }
        let question = question.to_owned();
        let confirm = || dialoguer::Confirm::new().with_prompt(question).default(false);
        match self.prompt(|| confirm().interact()).await {
            Some(true) => Ok(()),
            Some(false) | None => Err(Failure::usage("declined; nothing was changed")),
        }
    }

    /// Asks for one of several items; the index of the chosen one, none when the prompt is left.
    pub async fn choose(&self, question: &str, items: &[String], first: usize) -> Option<usize> {
        let (question, items) = (question.to_owned(), items.to_vec());
        let select = move || {
            let select = dialoguer::Select::new().with_prompt(question).items(items);
            select.default(first).interact()
        };
        self.prompt(select).await
    }

    /// Asks for any number of several items; their indices, none when the prompt is left.
    pub async fn choose_many(&self, question: &str, items: &[String]) -> Option<Vec<usize>> {
        let (question, items) = (format!("{question} (space marks, enter ends)"), items.to_vec());
        let select = || dialoguer::MultiSelect::new().with_prompt(question).items(items);
        self.prompt(|| select().interact()).await
    }

    /// Asks for a text; none when the prompt is left.
    pub async fn ask(&self, question: &str) -> Option<String> {
        let question = question.to_owned();
        let input = || dialoguer::Input::<String>::new().with_prompt(question);
        self.prompt(|| input().interact_text()).await
    }

    /// Runs a blocking prompt on its own thread: a signal can still end the command while it waits.
    async fn prompt<T: Send + 'static>(
        &self,
        prompt: impl FnOnce() -> dialoguer::Result<T> + Send + 'static,
    ) -> Option<T> {
        let _terminal = terminal::BeforePrompt::remember();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // Whoever is interrupted no longer waits for the answer, and nobody takes it.
        std::thread::spawn(move || drop(sender.send(prompt())));
        match receiver.await.ok()? {
            // Ctrl-C is no answer: the signal that comes with it ends the command.
            Err(dialoguer::Error::IO(error)) if error.kind() == io::ErrorKind::Interrupted => {
                std::future::pending().await
            }
            answer => answer.ok(),
        }
    }

    /// Hands a command of ours to the CI system, whatever `-q` says.
    pub fn ci_command(&self, command: &str) {
        self.write_line(command);
    }

    fn defused<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.ci.map_or(Cow::Borrowed(text), |ci| ci.defused(text))
    }

    fn say(&self, text: &str) {
        self.write_line(&self.defused(text));
    }

    fn write_line(&self, text: &str) {
        self.progress.suspend(|| {
            // Standard error that is gone leaves nobody to tell.
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }
}

/// The order that most tools agree on: flag, `NO_COLOR`, `CLICOLOR_FORCE`, then whether this is a terminal.
fn use_colors(choice: ColorChoice, env: &Env, terminal: bool) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if env.get(place::NO_COLOR).is_some() => false,
        ColorChoice::Auto => env.get(place::CLICOLOR_FORCE).is_some_and(|value| value != "0") || terminal,
    }
}

/// Lays out rows under a header in columns, two spaces apart, without trailing blanks.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_beats_the_environment_and_the_environment_the_terminal() {
        let none = Env::of::<&str, &str>([]);
        let no_color = Env::of([(place::NO_COLOR, "1"), (place::CLICOLOR_FORCE, "1")]);
        let force = Env::of([(place::CLICOLOR_FORCE, "1")]);
        assert!(use_colors(ColorChoice::Always, &no_color, false));
        assert!(!use_colors(ColorChoice::Auto, &no_color, true));
        assert!(use_colors(ColorChoice::Auto, &force, false));
        assert!(!use_colors(ColorChoice::Auto, &none, false));
        assert!(!use_colors(ColorChoice::Never, &force, true));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["weu-1".to_owned(), "ok".to_owned()]];
        assert_eq!(table(&["A", "STATUS"], &rows), "A      STATUS\nweu-1  ok\n");
    }
}
