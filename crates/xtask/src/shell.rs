//! Runs programs from the repository's root, says which, and turns their failure into a sentence.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What went wrong, in words for the person at the terminal.
#[derive(Debug)]
pub(crate) struct Failure(String);

pub(crate) type Done<T = ()> = Result<T, Failure>;

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Adds to an error what was being done.
pub(crate) trait While<T> {
    fn while_doing(self, what: &str) -> Done<T>;
}

impl<T, E: std::fmt::Display> While<T> for Result<T, E> {
    fn while_doing(self, what: &str) -> Done<T> {
        self.map_err(|e| Failure(format!("{what}: {e}")))
    }
}

/// The repository's root, whatever the current directory is.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// One line about what happens next.
pub(crate) fn say(line: &str) {
    println!("── {line}");
}

/// A program with its arguments, split at blanks: `cmd("cargo fmt --check")`. Runs at the root, without input.
pub(crate) fn cmd(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).current_dir(root()).stdin(Stdio::null());
    command
}

/// The command as one would type it.
pub(crate) fn spelled(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Runs it with its output on ours.
pub(crate) fn run(command: &mut Command) -> Done {
    say(&spelled(command));
    let status = command.status().while_doing(&spelled(command))?;
    if status.success() { Ok(()) } else { Err(Failure(format!("`{}` failed ({status})", spelled(command)))) }
}

/// Runs it with its output on ours, and keeps a copy without colours for the one who counts.
pub(crate) fn run_and_read(command: &mut Command) -> (Done, String) {
    say(&spelled(command));
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always").env("FORCE_COLOR", "1");
    }
    let started = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match started.while_doing(&spelled(command)) {
        Ok(child) => child,
        Err(failure) => return (Err(failure), String::new()),
    };
    let out = child.stdout.take().map(|pipe| std::thread::spawn(|| pass_on(pipe, std::io::stdout())));
    let err = child.stderr.take().map(|pipe| std::thread::spawn(|| pass_on(pipe, std::io::stderr())));
    let status = child.wait();
    let text = [out, err].into_iter().flatten().filter_map(|copy| copy.join().ok()).collect();
    let done = match status.while_doing(&spelled(command)) {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure(format!("`{}` failed ({status})", spelled(command)))),
        Err(failure) => Err(failure),
    };
    (done, text)
}

/// The first line that the program prints, or nothing when it is not there or fails.
pub(crate) fn first_line(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned())
}

fn pass_on(pipe: impl Read, mut to: impl Write) -> String {
    let mut lines = BufReader::new(pipe);
    let mut copy = String::new();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        // Nobody reads us any more: go on draining, so that the program does not stand still.
        let _ = to.write_all(&line).and_then(|()| to.flush());
        copy.push_str(&without_colours(&String::from_utf8_lossy(&line)));
        line.clear();
    }
    copy
}

/// The text without ANSI escape sequences.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().take_while(|c| !c.is_ascii_alphabetic()).for_each(drop);
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_dropped_and_text_is_kept() {
        assert_eq!(without_colours("\u{1b}[1m\u{1b}[32mSummary\u{1b}[0m [ 1.2s] ok"), "Summary [ 1.2s] ok");
    }

    #[test]
    fn what_a_program_prints_is_read_and_its_failure_named() {
        let (done, text) = run_and_read(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]));
        assert_eq!(text, "out\nerr\n");
        assert!(done.is_err_and(|f| f.to_string().contains("exit status: 3")));
    }
}
