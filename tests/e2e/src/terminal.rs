//! A person at a terminal: a real pseudo-terminal, on which a command asks and is answered.

use crate::{Finished, World};
use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a command may take until it says what is waited for; it fails the test, and never makes it pass.
const PATIENCE: Duration = Duration::from_mins(1);
/// What the cursor keys and enter send.
const DOWN: &str = "\x1b[B";
const ENTER: &str = "\r";

/// A command that runs at a terminal. Its data goes to a pipe, as in `command > file`.
#[derive(Debug)]
pub struct Terminal {
    line: String,
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    /// How far what was seen has been answered.
    answered: usize,
}

impl Terminal {
    /// Starts a command line, split at spaces, in the test's folder.
    ///
    /// # Panics
    /// When there is no terminal, or the program cannot be started.
    pub fn run(world: &World, line: &str) -> Self {
        let size = Winsize {
            ws_row: 50,
            ws_col: 200,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(Some(&size), None).expect("a pseudo-terminal can be made");
        let of_child = || Stdio::from(pair.slave.try_clone().expect("a terminal can be shared"));
        let mut words = line.split_whitespace();
        let child = Command::new(words.next().expect("a line names a program"))
            .args(words)
            .current_dir(world.folder())
            .env_clear()
            .envs(world.variables())
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .stdin(of_child())
            .stdout(Stdio::piped())
            .stderr(of_child())
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let keyboard = File::from(pair.master);
        let mut output = keyboard.try_clone().expect("a terminal can be shared");
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Once the last holder of the other side is gone, reading fails.
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            line: line.to_owned(),
            child,
            keyboard,
            screen,
            seen: String::new(),
            answered: 0,
        }
    }

    /// Waits until the command says something that has not been answered yet.
    ///
    /// # Panics
    /// When it ends before, or says nothing like it for too long.
    pub fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |unanswered| unanswered.contains(text));
    }

    fn wait_until(&mut self, what: &str, is_there: impl Fn(&str) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_there(&self.seen[self.answered..]) {
            let left = end.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("`{}` did not say {what:?} ({error}):\n{}", self.line, self.seen),
            }
        }
    }

    /// Answers what was waited for with keys.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.answered = self.seen.len();
        self.keyboard
            .write_all(keys.as_bytes())
            .expect("the terminal is there");
    }

    /// Chooses an item of a list that a question shows.
    ///
    /// # Panics
    /// When the question does not come, or has no such item.
    pub fn choose(&mut self, question: &str, item: &str) {
        self.find(question, item);
        self.press(ENTER);
    }

    /// Marks one item of a list that a question shows, and ends the list.
    ///
    /// # Panics
    /// When the question does not come, or has no such item.
    pub fn mark(&mut self, question: &str, item: &str) {
        self.find(question, item);
        self.press(" ");
        self.wait_for("[x]");
        self.press(ENTER);
    }

    /// Goes down to an item.
    fn find(&mut self, question: &str, item: &str) {
        self.wait_for(question);
        for _ in 0..50 {
            // The whole list has been drawn when its last line has ended.
            self.wait_until(item, |drawn| {
                drawn.contains(item) && drawn.contains("> ") && drawn.ends_with('\n')
            });
            let chosen = self.seen.rfind("> ").map_or("", |at| &self.seen[at..]);
            if chosen.lines().next().is_some_and(|line| line.contains(item)) {
                return;
            }
            self.press(DOWN);
        }
        panic!("`{}` has no {item:?} for {question:?}:\n{}", self.line, self.seen);
    }

    /// Types a text for a question.
    ///
    /// # Panics
    /// When the question does not come.
    pub fn type_in(&mut self, question: &str, text: &str) {
        self.wait_for(question);
        self.press(text);
        self.press(ENTER);
    }

    /// Waits for the command's end.
    ///
    /// # Panics
    /// When a signal ends it.
    pub fn end(mut self) -> Finished {
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().expect("its data is piped");
        pipe.read_to_string(&mut stdout).expect("its data is text");
        let status = self.child.wait().expect("it ends");
        drop(self.keyboard);
        for bytes in &self.screen {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        let code = status.code();
        Finished {
            code: code.unwrap_or_else(|| panic!("{}: ended by a signal", self.line)),
            line: self.line,
            stdout,
            stderr: self.seen,
        }
    }
}
