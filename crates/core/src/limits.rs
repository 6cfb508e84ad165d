//! The bounds that hold for every run, whatever its agent says.

/// How many steps a resume grants a run that had reached its limit.
pub const RESUME_STEPS: u32 = 10;
/// Characters of a task.
pub const TASK_CHARS_MAX: usize = 200_000;
/// Calls that one reply may ask for; what lies beyond is dropped, and the reply's event says so.
pub const CALLS_PER_REPLY_MAX: usize = 64;
/// Bytes of one call's arguments, as the model wrote them.
pub const ARGUMENTS_BYTES_MAX: usize = 256 * 1024;
/// Bytes of one tool output as it is kept and shown to the model.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of text that are kept of one reply.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Replies in a row without a call and without a text, after which the run fails.
pub const EMPTY_REPLIES_MAX: u32 = 3;

/// Cuts `text` to at most `max` bytes at a character's edge, with a marker that says how much is missing.
pub fn clip(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… [cut: {} of {} bytes shown]", &text[..end], end, text.len())
}
