//! What every engine makes of a run that took its workers down.

/// Deaths at one step, after which a run is kept from all workers.
pub(crate) const DEATHS_MAX: u32 = 3;

/// Why, for people; `hows` from the first death on.
pub(crate) fn quarantine_reason(deaths: u32, hows: Vec<String>) -> String {
    format!("it took its worker down {deaths} times in a row: {}", hows.join(", "))
}
