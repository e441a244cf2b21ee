//! A process that ends with us.
//!
//! Each runs in a process group of its own, so that Ctrl-C reaches only the one who orders the end, and has a *warden*
//! beside it: a shell that waits for the end of a pipe which only we hold open, and then kills the group. When we are
//! killed ourselves, the system closes the pipe. (A parent-death signal would need unsafe code, and Linux.)

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{Error, Result};

/// A running process, its output, and its warden.
#[derive(Debug)]
pub struct Child {
    name: &'static str,
    process: std::process::Child,
    warden: std::process::Child,
    log: Log,
    events: Receiver<serde_json::Value>,
}

impl Child {
    /// Starts `command` and reads its output: lines go to the log, and lines that are JSON objects with a member
    /// `event` to [`Child::event`] instead.
    ///
    /// # Errors
    /// [`Error::Spawn`].
    pub fn start(name: &'static str, mut command: Command, echo: Echo) -> Result<Self> {
        let spawn = |command: &mut Command| {
            let line = line(command);
            command.spawn().map_err(|source| Error::Spawn { command: line, source })
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut process = spawn(&mut command)?;
        let mut warden = Command::new("sh");
        warden
            .args([
                "-c",
                r#"cat >/dev/null; kill -s KILL -- "-$1" 2>/dev/null"#,
                "warden",
                &process.id().to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let warden = match spawn(&mut warden) {
            Ok(warden) => warden,
            Err(error) => {
                let _ = process.kill();
                let _ = process.wait();
                return Err(error);
            }
        };
        let log = Log::default();
        let (sender, events) = mpsc::channel();
        if let Some(pipe) = process.stdout.take() {
            read(name, pipe, log.clone(), echo, Some(sender));
        }
        if let Some(pipe) = process.stderr.take() {
            read(name, pipe, log.clone(), echo, None);
        }
        Ok(Self { name, process, warden, log, events })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it wrote lately.
    #[must_use]
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// The next event it reports.
    ///
    /// # Errors
    /// [`Error::NotReady`] when it ends first, or says nothing within `limit`.
    pub fn event(&mut self, limit: Duration) -> Result<serde_json::Value> {
        let end = Instant::now() + limit;
        loop {
            match self.events.recv_timeout(POLL) {
                Ok(event) => return Ok(event),
                Err(RecvTimeoutError::Timeout) if Instant::now() > end => {
                    return Err(self.not_ready(format!("no sign of life within {} s", limit.as_secs())));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => thread::sleep(POLL),
            }
            if let Some(status) = self.ended() {
                return Err(self.not_ready(format!("it ended ({status})")));
            }
        }
    }

    /// An error that carries the log's last lines.
    #[must_use]
    pub fn not_ready(&self, reason: String) -> Error {
        Error::NotReady { name: self.name, reason, log: self.log.tail(LOG_SHOWN) }
    }

    /// Asks it to end, and kills it when it has not within `grace`.
    pub fn stop(mut self, grace: Duration) {
        self.signal(Signal::TERM);
        let end = Instant::now() + grace;
        while self.ended().is_none() && Instant::now() < end {
            thread::sleep(POLL);
        }
    }

    /// Kills it now, with everything it started (dropping does the same).
    pub fn kill(self) {}

    /// Sends a signal to its process group.
    ///
    /// Its number cannot have passed to another process: the id stays taken until we have waited for it.
    fn signal(&mut self, signal: Signal) {
        if self.ended().is_none()
            && let Ok(raw) = i32::try_from(self.process.id())
            && let Some(pid) = Pid::from_raw(raw)
        {
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.process.wait();
        // The warden before its pipe: it must not wake to kill a group whose number may be another's by now.
        let _ = self.warden.kill();
        let _ = self.warden.wait();
    }
}

/// Whether a process's lines are shown on standard error as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Each line, after the process's name.
    Show,
    /// Each line but those in which this stands.
    ShowBut(&'static str),
    /// Only kept.
    Keep,
}

impl Echo {
    fn shows(self, line: &str) -> bool {
        match self {
            Self::Show => true,
            Self::ShowBut(noise) => !line.contains(noise),
            Self::Keep => false,
        }
    }
}

/// The last lines a process wrote.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    /// Every line that is still kept.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The last lines, as one text.
    #[must_use]
    pub fn tail(&self, count: usize) -> String {
        let lines = self.lines();
        lines
            .iter()
            .skip(lines.len().saturating_sub(count))
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LOG_KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// Runs a program to its end with its output on standard error, so that standard output stays ours.
///
/// # Errors
/// [`Error::Spawn`], or [`Error::Command`] when it fails.
pub fn run(command: &mut Command) -> Result<()> {
    write(command, std::io::stderr())
}

/// Runs a program to its end with its standard output in `file`.
///
/// # Errors
/// [`Error::Spawn`], or [`Error::Command`] when it fails.
pub fn write(command: &mut Command, file: impl Into<Stdio>) -> Result<()> {
    let shown = line(command);
    let status = command
        .stdin(Stdio::null())
        .stdout(file)
        .status()
        .map_err(|source| Error::Spawn { command: shown.clone(), source })?;
    if status.success() { Ok(()) } else { Err(Error::Command { command: shown, status: status.to_string() }) }
}

/// Runs a program to its end and returns what it wrote on standard output.
///
/// # Errors
/// [`Error::Spawn`], or [`Error::Command`] when it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = line(command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Spawn { command: shown.clone(), source })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::Command { command: shown, status: output.status.to_string() })
    }
}

/// A command as one would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn read(
    name: &'static str,
    pipe: impl Read + Send + 'static,
    log: Log,
    echo: Echo,
    events: Option<mpsc::Sender<serde_json::Value>>,
) {
    thread::spawn(move || {
        let mut lines = BufReader::new(pipe).split(b'\n');
        while let Some(Ok(bytes)) = lines.next() {
            let line = String::from_utf8_lossy(&bytes).into_owned();
            if let Some(sender) = &events
                && let Ok(value) = serde_json::from_str::<serde_json::Value>(&line)
                && value.get("event").is_some()
            {
                let _ = sender.send(value);
                continue;
            }
            if echo.shows(&line) {
                eprintln!("{name}: {line}");
            }
            log.push(line);
        }
    });
}

/// How often a wait looks whether the process still lives.
const POLL: Duration = Duration::from_millis(20);

/// Lines a log keeps.
const LOG_KEPT: usize = 20_000;

/// Lines of the log that an error shows.
const LOG_SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn reports_events_apart_from_the_log() {
        let script = r#"echo hello; echo '{"event":"listen","port":7}'; echo bye >&2; sleep 60"#;
        let mut child = Child::start("sh", shell(script), Echo::Keep).unwrap();
        let event = child.event(Duration::from_secs(10)).unwrap();
        assert_eq!(event["port"], 7);
        assert!(!child.log().tail(9).contains("listen"));
    }

    #[test]
    fn says_what_was_written_before_an_early_end() {
        let mut child = Child::start("sh", shell("echo no luck; exit 3"), Echo::Keep).unwrap();
        let error = child.event(Duration::from_secs(10)).unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn kills_what_its_process_started_when_dropped() {
        let mut child =
            Child::start("sh", shell(r#"sleep 60 & echo "{\"event\":$!}"; wait"#), Echo::Keep).unwrap();
        let event = child.event(Duration::from_secs(10)).unwrap();
        let grandchild = Pid::from_raw(i32::try_from(event["event"].as_i64().unwrap()).unwrap()).unwrap();
        child.kill();
        let end = Instant::now() + Duration::from_secs(10);
        while runs(grandchild) {
            assert!(Instant::now() < end, "the grandchild lives on");
            thread::yield_now();
        }
    }

    #[test]
    fn the_warden_kills_when_the_pipe_ends() {
        let mut child = Child::start("sh", shell("sleep 60"), Echo::Keep).unwrap();
        drop(child.warden.stdin.take());
        let end = Instant::now() + Duration::from_secs(10);
        while child.ended().is_none() {
            assert!(Instant::now() < end, "the process lives on");
            thread::yield_now();
        }
    }

    /// Whether a process exists and is no zombie (nobody may be there to wait for it in a container).
    fn runs(pid: Pid) -> bool {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }
}
