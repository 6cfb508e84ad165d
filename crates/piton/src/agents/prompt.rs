//! Prompts are files of the project: an agent's file names one, and nothing outside of the project can be named.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::Source;

/// Bytes of a prompt.
pub(super) const PROMPT_BYTES_MAX: usize = 256 * 1024;

/// What the embedded default agent says it is; also where a file of it is looked for.
const DEFAULT_PATH: &str = "prompts/default.md";
const DEFAULT_TEXT: &str = include_str!("../../../../prompts/default.md");

/// The text of the prompt that an agent's file calls `written`, and where it was found: under the project's root,
/// which is the folder above the configuration folder, or under the configuration folder `dir`. The default agent's
/// prompt is in the binary too, for when there is no file.
///
/// # Errors
/// What is wrong with the path or the file, and where it was looked for.
pub(super) fn read(written: &str, dir: &Path) -> Result<(String, Source), String> {
    let path = Path::new(written);
    let stays_inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if written.trim().is_empty() || !stays_inside {
        return Err("expected a path inside of the project, such as prompts/clerk.md, without ..".to_owned());
    }
    let bases = [above(dir), dir.to_owned()];
    for base in &bases {
        let file = base.join(path);
        match inside(base, &file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{} cannot be read: {error}", file.display())),
            Ok(false) => return Err(format!("{} leads out of the project", file.display())),
            Ok(true) if !file.is_file() => return Err(format!("{} is not a file", file.display())),
            Ok(true) => return Ok((text(&file)?, Source::File(file))),
        }
    }
    if path == Path::new(DEFAULT_PATH) {
        return Ok((checked(DEFAULT_TEXT)?, Source::Embedded));
    }
    let [root, dir] = bases.map(|base| base.join(path));
    Err(format!("there is no such file: looked for {} and {}", root.display(), dir.display()))
}

/// The text as it is sent, if it can be.
pub(super) fn checked(text: &str) -> Result<String, String> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err("the prompt is empty".to_owned());
    }
    if text.len() > PROMPT_BYTES_MAX {
        return Err(format!("the prompt is longer than {PROMPT_BYTES_MAX} bytes"));
    }
    Ok(text.to_owned())
}

fn text(file: &Path) -> Result<String, String> {
    let of_file = |problem: String| format!("{}: {problem}", file.display());
    let bytes = fs::metadata(file).map_err(|error| of_file(error.to_string()))?.len();
    if bytes > 2 * PROMPT_BYTES_MAX as u64 {
        return Err(of_file(format!("the prompt is longer than {PROMPT_BYTES_MAX} bytes")));
    }
    let text = fs::read_to_string(file).map_err(|error| of_file(format!("cannot be read: {error}")))?;
    checked(&text).map_err(of_file)
}

/// Whether `file`, all links followed, lies in `base`.
fn inside(base: &Path, file: &Path) -> io::Result<bool> {
    let base = if base.as_os_str().is_empty() { Path::new(".") } else { base };
    Ok(file.canonicalize()?.starts_with(base.canonicalize()?))
}

/// The folder above `dir`; empty for the current one.
fn above(dir: &Path) -> PathBuf {
    match dir.components().next_back() {
        Some(Component::Normal(_)) => dir.parent().unwrap_or(Path::new("")).to_owned(),
        _ => dir.join(".."),
    }
}
