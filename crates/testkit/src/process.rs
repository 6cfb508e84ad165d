//! Real processes: started with their output in a file, looked at through /proc, killed with all they started.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::until::until;

/// A process with its log. Killed with its descendants when dropped.
#[derive(Debug)]
pub struct Process {
    pub name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in a process group of its own, its output appended to `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("the log can be written");
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a second handle")).stderr(file);
        let child =
            command.process_group(0).spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far, whole.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be waited for")
    }

    /// SIGKILL for this process alone, as an outage would; returns once it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }

    /// SIGTERM; the status it ended with, and what it took.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub async fn stop(&mut self, limit: Duration) -> Result<(ExitStatus, Duration), String> {
        let began = std::time::Instant::now();
        terminate(self.pid());
        let status = until(limit, format!("{} ends after SIGTERM", self.name), async || self.ended()).await?;
        Ok((status, began.elapsed()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let children = descendants(self.pid());
        self.kill();
        for pid in children {
            kill(pid);
        }
    }
}

/// SIGKILL; nothing happens when there is no such process.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// SIGTERM; nothing happens when there is no such process.
pub fn terminate(pid: u32) {
    signal(pid, Signal::TERM);
}

/// SIGSTOP: the process stands still with all it holds, as in a long stall.
pub fn freeze(pid: u32) {
    signal(pid, Signal::STOP);
}

/// Whether none of its threads will carry out one more instruction before [`thaw`]: each stands, or comes back from a
/// call into the kernel only to stand. A process that is gone stands too.
pub(crate) fn stands(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| fields(&thread.path().join("stat")))
        .all(|fields| matches!(fields[0].as_str(), "T" | "D" | "Z" | "X"))
}

/// SIGCONT.
pub fn thaw(pid: u32) {
    signal(pid, Signal::CONT);
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended a moment ago.
        let _gone = kill_process(pid, signal);
    }
}

/// Whether the process runs: a zombie does not.
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z" && fields[0] != "X")
}

/// All processes that this one started, and those they started.
pub fn descendants(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> =
        pids().filter_map(|pid| Some((pid, stat(pid)?[1].parse().ok()?))).collect();
    let mut found = Vec::new();
    let mut family = HashSet::from([pid]);
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(pid, parent)| family.contains(parent) && !family.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            return found;
        }
        family.extend(&more);
        found.extend(more);
    }
}

/// The worker processes among the descendants of `server`.
pub fn worker_pids_under(server: u32) -> Vec<u32> {
    descendants(server)
        .into_iter()
        .filter(|pid| is_alive(*pid) && arguments(*pid).iter().any(|argument| argument == "worker"))
        .collect()
}

/// Processor time that the process has used, in seconds.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let fields = stat(pid)?;
    let ticks = fields[11].parse::<f64>().ok()? + fields[12].parse::<f64>().ok()?;
    Some(ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// Memory of the process, what it shares with others divided among them.
pub fn pss_bytes(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The fields of `/proc/PID/stat` after the name: state, parent …
fn stat(pid: u32) -> Option<Vec<String>> {
    fields(Path::new(&format!("/proc/{pid}/stat")))
}

fn fields(stat: &Path) -> Option<Vec<String>> {
    let line = fs::read_to_string(stat).ok()?;
    let (_, rest) = line.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn arguments(pid: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}
