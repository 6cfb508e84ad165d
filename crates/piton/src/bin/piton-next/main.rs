//! Piton as it will be one version from now, as far as its database goes: what an upgrade is rehearsed with. `NEXT_SCHEMAS=2` makes
//! it two versions.

use std::process::ExitCode;

use piton_store::Next;

const POSTGRES: [&str; 2] = [include_str!("postgres.sql"), "-- part: together\nSELECT 1"];
const SQLITE: [&str; 2] = [include_str!("sqlite.sql"), "SELECT 1"];

fn main() -> ExitCode {
    let schemas = if std::env::var_os("NEXT_SCHEMAS").is_some_and(|schemas| schemas == "2") { 2 } else { 1 };
    piton_store::rehearse(Next {
        postgres: POSTGRES.get(..schemas).unwrap_or_default(),
        sqlite: SQLITE.get(..schemas).unwrap_or_default(),
    });
    piton::main()
}
