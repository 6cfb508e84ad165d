//! Who may depend on whom, under which licences, and from where. deny.toml says most of it; here is the rest.

use std::process::Stdio;

use crate::shell::{Done, While, cmd, run, say, spelled};
use crate::tools;

/// All that `core` may see: data, its JSON form, its errors, its ids. No runtime, no clock, no IO.
const CORE_MAY_SEE: [&str; 4] = ["serde", "serde_json", "thiserror", "uuid"];

pub(crate) fn check() -> Done {
    tools::cargo_deny()?;
    run(&mut tools::command("cargo deny --workspace --locked check --show-stats bans licenses sources"))?;

    let seen = tree("--package piton-core --edges normal --depth 1")?;
    if let Some(other) =
        seen.iter().find(|name| *name != "piton-core" && !CORE_MAY_SEE.contains(&name.as_str()))
    {
        return Err(
            format!("piton-core depends on {other}; it may see only {}", CORE_MAY_SEE.join(", ")).into()
        );
    }
    // An arrow that deny.toml cannot draw: it does not tell tests from the product.
    let seers = tree("--workspace --edges normal,build --invert piton-testkit --depth 1")?;
    if let Some(other) = seers.iter().find(|name| *name != "piton-testkit") {
        return Err(format!("{other} depends on piton-testkit outside its tests").into());
    }
    Ok(())
}

/// The packages that `cargo tree` lists.
fn tree(args: &str) -> Done<Vec<String>> {
    let mut tree = cmd(&format!("cargo tree --locked --prefix none {args}"));
    say(&spelled(&tree));
    let output = tree.stderr(Stdio::inherit()).output().while_doing("cargo tree")?;
    if !output.status.success() {
        return Err(format!("`{}` failed ({})", spelled(&tree), output.status).into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}
