//! Running programs of others: each in a group of its own, asked to end before it is killed, with nothing left behind.

use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// How long a program may take to end after it was asked to.
pub(crate) const GRACE: Duration = Duration::from_secs(30);
/// How long what a program has started may go on writing after its end.
const LEFTOVER: Duration = Duration::from_secs(5);

/// How long a program may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Until it is asked to end.
    pub(crate) deadline: Duration,
    /// From then until it is killed.
    pub(crate) grace: Duration,
}

impl Bounds {
    /// Bounds with the usual grace.
    pub(crate) const fn of(deadline: Duration) -> Self {
        Self {
            deadline,
            grace: GRACE,
        }
    }
}

/// How much of an output is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keep {
    /// All of it.
    All,
    /// About so many bytes of its end.
    Last(usize),
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What it printed, and its status.
    pub(crate) output: Output,
    /// Why it was stopped; none when it ended by itself.
    pub(crate) stopped: Option<Stop>,
    /// Whether it had to be killed.
    pub(crate) killed: bool,
}

/// Why a program was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// We were asked to.
    Interrupt,
    /// Its time was up.
    Deadline,
}

/// Runs a program to its end.
///
/// At `stop` and at the deadline it is asked by SIGTERM to end; it is killed if it does not within the grace, or at
/// `kill`. Both reach the whole of its group.
pub(crate) async fn run(
    mut command: Command,
    bounds: Bounds,
    keep: Keep,
    stop: impl Future<Output = ()>,
    kill: impl Future<Output = ()>,
) -> io::Result<Ended> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // An own group: the terminal's Ctrl-C must not reach it behind our back.
    #[cfg(unix)]
    command.process_group(0);
    let child = command.spawn()?;
    let process = child.id();
    let ended = finish(child, keep);
    tokio::pin!(ended);
    let stopped = tokio::select! {
        output = &mut ended => {
            return Ok(Ended { output: output?, stopped: None, killed: false });
        }
        () = stop => Stop::Interrupt,
        () = tokio::time::sleep(bounds.deadline) => Stop::Deadline,
    };
    signal(process, Force::Term);
    let in_time = tokio::select! {
        output = &mut ended => Some(output),
        () = tokio::time::sleep(bounds.grace) => None,
        () = kill => None,
    };
    let killed = in_time.is_none();
    let output = if let Some(output) = in_time {
        output
    } else {
        signal(process, Force::Kill);
        ended.await
    };
    Ok(Ended {
        output: output?,
        stopped: Some(stopped),
        killed,
    })
}

/// Waits for the end of a program and of its output. Who was started by it and holds its output open is killed.
async fn finish(mut child: Child, keep: Keep) -> io::Result<Output> {
    let process = child.id();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let status = {
        let reading = async {
            let (out, err) = tokio::join!(read(out, &mut stdout, keep), read(err, &mut stderr, keep));
            out.and(err)
        };
        tokio::pin!(reading);
        let ended = tokio::select! {
            read = &mut reading => {
                read?;
                None
            }
            status = child.wait() => {
                match tokio::time::timeout(LEFTOVER, &mut reading).await {
                    Ok(read) => read?,
                    Err(_) => signal(process, Force::Kill),
                }
                Some(status?)
            }
        };
        match ended {
            Some(status) => status,
            None => child.wait().await?,
        }
    };
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>, keep: Keep) -> io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    while pipe.read_buf(kept).await? > 0 {
        // Only now and then: what is kept moves each time.
        if let Keep::Last(limit) = keep
            && kept.len() > limit * 2
        {
            kept.drain(..kept.len() - limit);
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Force {
    Term,
    Kill,
}

/// Signals the whole group of a process.
#[cfg(unix)]
fn signal(process: Option<u32>, force: Force) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let group = process
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(group) = group {
        let signal = match force {
            Force::Term => Signal::TERM,
            Force::Kill => Signal::KILL,
        };
        // The process may have ended in the meantime; that is what was wanted.
        let _ = kill_process_group(group, signal);
    }
}

#[cfg(not(unix))]
fn signal(_process: Option<u32>, _force: Force) {}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::path::Path;

    async fn shell(script: &str, bounds: Bounds, keep: Keep) -> Ended {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, bounds, keep, pending(), pending()).await.unwrap()
    }

    const LONG: Bounds = Bounds::of(Duration::from_mins(1));

    #[tokio::test]
    async fn who_will_not_end_is_killed_and_that_is_told() {
        let bounds = Bounds {
            deadline: Duration::from_millis(300),
            grace: Duration::from_millis(300),
        };
        let ended = shell("trap '' TERM; while :; do sleep 0.05; done", bounds, Keep::All).await;
        assert_eq!((ended.stopped, ended.killed), (Some(Stop::Deadline), true));
        let ended = shell("exec sleep 600", bounds, Keep::All).await;
        assert_eq!((ended.stopped, ended.killed), (Some(Stop::Deadline), false));
    }

    #[tokio::test]
    async fn only_the_end_of_a_long_output_is_kept() {
        let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done";
        let ended = shell(script, LONG, Keep::Last(1000)).await;
        let text = String::from_utf8(ended.output.stdout).unwrap();
        assert!(text.ends_with("line 19999\n"), "{text}");
        assert!(text.len() <= 2000, "{}", text.len());
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_does_not_hold_it_up_and_is_ended() {
        let ended = shell("sleep 600 & echo $!", LONG, Keep::All).await;
        assert!(ended.output.status.success() && ended.stopped.is_none());
        let left = String::from_utf8(ended.output.stdout).unwrap();
        let process = Path::new("/proc").join(left.trim()).join("stat");
        // A zombie is one that nobody has waited for yet.
        let lives = || std::fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z "));
        for _ in 0..200 {
            if !lives() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it still runs");
    }
}
