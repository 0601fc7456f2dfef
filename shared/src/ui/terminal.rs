//! The terminal as it was before a prompt: one that a signal leaves in its middle leaves it raw and without a cursor.

#[cfg(unix)]
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
#[cfg(unix)]
use std::os::fd::AsFd;

/// Puts the terminal back when it is dropped.
#[derive(Debug)]
pub(super) struct BeforePrompt {
    #[cfg(unix)]
    _modes: Modes<std::io::Stdin>,
    _cursor: Cursor,
}

impl BeforePrompt {
    /// Remembers the state of the terminal that answers come from.
    pub(super) fn remember() -> Self {
        Self {
            #[cfg(unix)]
            _modes: Modes::of(std::io::stdin()),
            _cursor: Cursor,
        }
    }
}

/// The cursor, which is shown again.
#[derive(Debug)]
struct Cursor;

impl Drop for Cursor {
    fn drop(&mut self) {
        // Standard error that is gone has no cursor.
        let _ = console::Term::stderr().show_cursor();
    }
}

/// How a terminal takes keys.
#[cfg(unix)]
#[derive(Debug)]
struct Modes<F: AsFd> {
    terminal: F,
    before: Option<Termios>,
}

#[cfg(unix)]
impl<F: AsFd> Modes<F> {
    fn of(terminal: F) -> Self {
        let before = tcgetattr(&terminal).ok();
        Self { terminal, before }
    }
}

#[cfg(unix)]
impl<F: AsFd> Drop for Modes<F> {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that has gone needs no modes.
            let _ = tcsetattr(&self.terminal, OptionalActions::Now, before);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::termios::LocalModes;
    use std::fs::File;

    #[test]
    fn a_prompt_that_is_left_leaves_the_terminal_as_it_was() {
        let terminal = File::options().read(true).write(true).open("/dev/ptmx").unwrap();
        let echoes = || {
            tcgetattr(&terminal)
                .unwrap()
                .local_modes
                .contains(LocalModes::ECHO)
        };
        assert!(echoes());
        let before = Modes::of(&terminal);
        let mut raw = tcgetattr(&terminal).unwrap();
        raw.make_raw();
        tcsetattr(&terminal, OptionalActions::Now, &raw).unwrap();
        assert!(!echoes());
        drop(before);
        assert!(echoes());
    }
}
