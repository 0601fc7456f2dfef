//! A command that runs while the test looks at what it says, and does something to it.

use crate::Finished;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a command may take until it says what is waited for; it fails the test, and never makes it pass.
const PATIENCE: Duration = Duration::from_mins(2);

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    line: String,
    child: Child,
    said: Receiver<String>,
    heard: String,
}

impl Running {
    /// Starts a command.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(line: String, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let talk = BufReader::new(child.stderr.take().expect("its talk is piped"));
        let (sender, said) = channel();
        std::thread::spawn(move || {
            let lines = talk.lines().map_while(Result::ok);
            lines.map_while(|line| sender.send(line).ok()).for_each(drop);
        });
        Self {
            line,
            child,
            said,
            heard: String::new(),
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the command says something that it has not said before.
    ///
    /// # Panics
    /// When it ends before, or says nothing like it for too long.
    pub fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.said.recv_timeout(left);
            let line = line.unwrap_or_else(|error| {
                panic!("`{}` did not say {text:?} ({error}):\n{}", self.line, self.heard)
            });
            self.heard.push_str(&line);
            self.heard.push('\n');
            if line.contains(text) {
                return;
            }
        }
    }

    /// Sends it a signal, by its name.
    ///
    /// # Panics
    /// When it cannot be signalled.
    pub fn signal(&self, signal: &str) {
        send(signal, self.id());
    }

    /// Sends a further signal. One that comes within 0.3 s of the one before is the same wish.
    ///
    /// # Panics
    /// When it cannot be signalled.
    pub fn insist(&self, signal: &str) {
        std::thread::sleep(Duration::from_millis(400));
        self.signal(signal);
    }

    /// Kills its helm.
    ///
    /// # Panics
    /// When there is none.
    pub fn kill_helm(&self) {
        self.signal_helm("-KILL");
    }

    /// Sends its helm a signal, by its name.
    ///
    /// # Panics
    /// When there is none.
    pub fn signal_helm(&self, signal: &str) {
        let helms = self.helms();
        assert!(!helms.is_empty(), "`{}` has no helm", self.line);
        for helm in helms {
            send(signal, helm);
        }
    }

    /// The processes of its helms.
    ///
    /// # Panics
    /// When processes cannot be listed.
    pub fn helms(&self) -> Vec<u32> {
        let parent = self.id().to_string();
        let found = Command::new("pgrep").args(["-P", &parent, "-x", "helm"]).output();
        let found = found.expect("processes can be listed").stdout;
        let ids = String::from_utf8_lossy(&found).into_owned();
        ids.split_whitespace().filter_map(|id| id.parse().ok()).collect()
    }

    /// From here on none of its files grows, as on a disk that is full.
    ///
    /// # Panics
    /// When its limits cannot be set.
    pub fn fill_disk(&self) {
        let process = self.id().to_string();
        let limited = Command::new("prlimit")
            .args(["--fsize=1", "--pid", &process])
            .status();
        assert!(
            limited.is_ok_and(|limited| limited.success()),
            "its limits cannot be set"
        );
    }

    /// Kills it and its helm, as a machine that is taken away does.
    ///
    /// # Panics
    /// When it has no helm.
    pub fn kill_all(self) -> Finished {
        let helms = self.helms();
        assert!(!helms.is_empty(), "`{}` has no helm", self.line);
        self.signal("-KILL");
        for helm in helms {
            send("-KILL", helm);
        }
        self.end()
    }

    /// Waits for its end; a signal that ended it makes a code as in a shell.
    ///
    /// # Panics
    /// When its outputs cannot be read.
    pub fn end(mut self) -> Finished {
        let (status, stdout) = self.finish();
        Finished {
            code: status
                .code()
                .or(status.signal().map(|signal| 128 + signal))
                .unwrap_or(-1),
            stdout,
            stderr: self.heard,
            line: self.line,
        }
    }

    fn finish(&mut self) -> (ExitStatus, String) {
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().expect("its data is piped");
        pipe.read_to_string(&mut stdout).expect("its data is text");
        let status = self.child.wait().expect("it ends");
        for line in &self.said {
            self.heard.push_str(&line);
            self.heard.push('\n');
        }
        (status, stdout)
    }
}

/// Starts a command line and sends it a signal when it says something; its exit code, none when the signal ended it,
/// and what it said on standard error.
///
/// # Panics
/// When it cannot be started, when it never says that, and when it cannot be signalled.
pub fn signal_at(line: &str, saying: &str, signal: &str) -> (Option<i32>, String) {
    act_at(line, saying, |process| send(signal, process))
}

/// Starts a command line and does something, given its process id, when it says something; its exit code, none when
/// a signal ended it, and what it said on standard error.
///
/// # Panics
/// When it cannot be started, and when it never says that.
pub fn act_at(line: &str, saying: &str, act: impl FnOnce(u32)) -> (Option<i32>, String) {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("a line names a program"));
    let mut run = Running::start(line.to_owned(), command.args(words));
    run.wait_for(saying);
    act(run.id());
    let (status, _) = run.finish();
    (status.code(), run.heard)
}

/// Sends a process a signal, by its name.
///
/// # Panics
/// When it cannot be signalled.
pub fn send(signal: &str, process: u32) {
    let sent = Command::new("kill").args([signal, &process.to_string()]).status();
    assert!(sent.is_ok_and(|sent| sent.success()), "it cannot be signalled");
}
