//! strace as an outage: it kills a process right before a chosen system call, or makes that call fail, on the
//! unmodified binary; and it tells which calls a process makes.
//!
//! strace counts the calls of each thread by itself. A process that is killed before a call has not made it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process::terminate;
use crate::until::{deadline, until};

/// What strace is to look at and to do.
#[derive(Debug, Clone)]
pub struct Strace {
    calls: Vec<String>,
    paths: Vec<PathBuf>,
    injections: Vec<String>,
    output: PathBuf,
}

impl Strace {
    /// Why it cannot be used on this machine; `None` when it can.
    pub fn missing() -> Option<String> {
        let tried = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
        match tried {
            Ok(output) if output.status.success() => None,
            Ok(output) => {
                Some(format!("strace may not trace here: {}", String::from_utf8_lossy(&output.stderr).trim()))
            }
            Err(error) => Some(format!("strace does not start: {error}")),
        }
    }

    /// Looks at these system calls and writes what it saw to `output`.
    pub fn of(calls: &[&str], output: PathBuf) -> Self {
        let calls = calls.iter().map(|call| (*call).to_owned()).collect();
        Self { calls, paths: Vec::new(), injections: Vec::new(), output }
    }

    /// Looks only at calls on one of these files; others are neither counted nor interfered with.
    #[must_use]
    pub fn on(mut self, paths: &[PathBuf]) -> Self {
        self.paths.extend_from_slice(paths);
        self
    }

    /// SIGKILL right before a thread makes its `nth` call of this sort, counted from 1.
    #[must_use]
    pub fn kill_before(mut self, call: &str, nth: usize) -> Self {
        self.injections.push(format!("{call}:signal=KILL:when={nth}"));
        self
    }

    /// The call fails without being made. `error` as in `EIO`; `when` as in `3`, `3..7` or `3+`, for each thread by
    /// itself.
    #[must_use]
    pub fn fail(mut self, call: &str, error: &str, when: &str) -> Self {
        self.injections.push(format!("{call}:error={error}:when={when}"));
        self
    }

    /// The command, traced from its first instruction. It stays a child of whoever starts it.
    pub fn wrap(&self, command: &Command) -> Command {
        let mut wrapped = Command::new("strace");
        // Not filtered in the kernel: that has no place at which a signal could be sent, and outlives strace's hold.
        // With -I2 it heeds a signal between two calls, as when it is attached.
        wrapped.args(["-D", "-I2"]).args(self.arguments());
        wrapped.arg(command.get_program()).args(command.get_args());
        wrapped.env_clear();
        wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = command.get_current_dir() {
            wrapped.current_dir(folder);
        }
        wrapped
    }

    /// Begins with a process that runs, and with all its threads. What it does ends when the value is dropped.
    ///
    /// # Panics
    /// When strace does not take hold of the process within the deadline.
    pub async fn attach(&self, pid: u32) -> Attached {
        let mut command = Command::new("strace");
        command.args(self.arguments()).args(["-p", &pid.to_string()]);
        let strace = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let attached = Attached { strace: strace.expect("strace starts"), output: self.output.clone() };
        until(deadline(), format!("strace holds process {pid}"), async || is_traced(pid).then_some(()))
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        attached
    }

    /// Lets go of a process that was traced from its first instruction: it runs on undisturbed.
    pub fn let_go(pid: u32) {
        if let Some(tracer) = tracer(&PathBuf::from(format!("/proc/{pid}/status"))) {
            terminate(tracer);
        }
    }

    /// What was seen so far.
    pub fn seen(&self) -> Vec<SystemCall> {
        read(&self.output)
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["-f".to_owned(), "-ttt".to_owned(), "-T".to_owned(), "-y".to_owned()];
        arguments.extend(["-o".to_owned(), self.output.display().to_string()]);
        arguments.push(format!("--trace={}", self.calls.join(",")));
        for injection in &self.injections {
            arguments.extend(["-e".to_owned(), format!("inject={injection}")]);
        }
        for path in &self.paths {
            arguments.extend(["-P".to_owned(), path.display().to_string()]);
        }
        arguments
    }
}

/// strace at work on a process that runs on when this is dropped.
#[derive(Debug)]
pub struct Attached {
    strace: Child,
    output: PathBuf,
}

impl Attached {
    /// Lets go of the process; what was seen.
    pub fn detach(self) -> Vec<SystemCall> {
        let output = self.output.clone();
        drop(self);
        read(&output)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        terminate(self.strace.id());
        let _status = self.strace.wait();
    }
}

fn is_traced(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.flatten().all(|task| tracer(&task.path().join("status")).is_some())
}

fn tracer(status: &Path) -> Option<u32> {
    let status = fs::read_to_string(status).ok()?;
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?.trim().parse().ok()?;
    (tracer != 0).then_some(tracer)
}

/// One system call as strace wrote it down.
#[derive(Debug, Clone, PartialEq)]
pub struct SystemCall {
    pub thread: u32,
    /// When it was made.
    pub at: Duration,
    pub name: String,
    /// As strace shows them, a descriptor with its path.
    pub arguments: String,
    /// What it returned, -1 for an error; `None` when the process did not live to see it.
    pub returned: Option<i64>,
    pub took: Duration,
    /// Whether strace made it fail.
    pub is_injected: bool,
}

/// Reads a trace in the format of `-f -ttt -T`. Calls that were interrupted in the listing are put together again.
fn read(output: &Path) -> Vec<SystemCall> {
    let text = fs::read(output).unwrap_or_default();
    let mut calls: Vec<SystemCall> = Vec::new();
    let mut open: BTreeMap<u32, usize> = BTreeMap::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let Some((thread, at, rest)) = head(line) else { continue };
        if rest.starts_with("<... ") {
            if let Some(place) = open.remove(&thread) {
                finish(&mut calls[place], rest);
            }
            continue;
        }
        let Some((name, arguments)) = rest.split_once('(') else { continue };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let mut call = SystemCall {
            thread,
            at,
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            returned: None,
            took: Duration::ZERO,
            is_injected: false,
        };
        if rest.ends_with("<unfinished ...>") {
            open.insert(thread, calls.len());
        } else {
            finish(&mut call, rest);
        }
        calls.push(call);
    }
    calls
}

fn head(line: &str) -> Option<(u32, Duration, &str)> {
    let (thread, rest) = line.trim_start().split_once(' ')?;
    let (at, rest) = rest.trim_start().split_once(' ')?;
    let at = Duration::try_from_secs_f64(at.parse().ok()?).ok()?;
    Some((thread.parse().ok()?, at, rest.trim_start()))
}

/// The end of a line: `… = 24 <0.000008>`, `… = -1 EIO (Input/output error) (INJECTED) <0.000008>`, `… = ?`.
fn finish(call: &mut SystemCall, rest: &str) {
    let Some((_, result)) = rest.rsplit_once(" = ") else { return };
    call.returned = result.split_whitespace().next().and_then(|number| number.parse().ok());
    call.is_injected = result.contains("(INJECTED)");
    let took = result.rsplit_once('<').and_then(|(_, took)| took.strip_suffix('>')?.parse().ok());
    call.took = took.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_with_its_results() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = folder.path().join("trace");
        let trace = "\
            7  1795387000.5 pwrite64(15</d/piton.db-wal>, \"a = b\"..., 24, 32) = 24 <0.000008>\n\
            8  1795387000.6 fsync(15</d/piton.db-wal> <unfinished ...>\n\
            7  1795387000.7 pwrite64(15</d/piton.db-wal>, \"\", 24, 32) = -1 EIO (Input/output error) (INJECTED) <0.000009>\n\
            8  1795387000.8 <... fsync resumed>) = 0 <0.25>\n\
            7  1795387000.9 pwrite64(15</d/piton.db-wal>, \"\", 24, 32) = ?\n\
            7  1795387000.9 +++ killed by SIGKILL +++\n";
        fs::write(&output, trace).expect("the file can be written");
        let calls = read(&output);
        let brief: Vec<_> =
            calls.iter().map(|call| (call.thread, call.name.as_str(), call.returned)).collect();
        let (write, sync) = ("pwrite64", "fsync");
        assert_eq!(brief, [(7, write, Some(24)), (8, sync, Some(0)), (7, write, Some(-1)), (7, write, None)]);
        assert_eq!(calls[1].took, Duration::from_millis(250));
        assert_eq!(calls[0].at, Duration::from_millis(1_795_387_000_500));
        assert!(calls[2].is_injected && !calls[0].is_injected);
    }

    #[test]
    fn a_call_that_is_to_fail_fails_and_the_next_does_not() {
        if let Some(why) = Strace::missing() {
            #[expect(clippy::print_stderr, reason = "a test that cannot be made here says so")]
            {
                eprintln!("SKIPPED: {why}");
            }
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let (file, output) = (folder.path().join("file"), folder.path().join("trace"));
        let strace =
            Strace::of(&["write"], output).on(std::slice::from_ref(&file)).fail("write", "ENOSPC", "2");
        let mut command = Command::new("sh");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.args(["-c", "exec 3>file; echo a >&3; echo b >&3; echo c >&3"]).current_dir(folder.path());
        let _status = strace.wrap(&command).stderr(Stdio::null()).status().expect("strace starts");
        assert_eq!(fs::read_to_string(&file).expect("the file"), "a\nc\n");
        assert_eq!(strace.seen().iter().filter(|call| call.is_injected).count(), 1);
    }
}
