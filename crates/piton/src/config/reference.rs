//! What is made from the table of keys and committed: the shipped file and the reference page. Only tests make them,
//! and fail when one is stale; `UPDATE_EXPECT=1 cargo test -p piton generated` writes them anew.

use super::keys::{KEYS, Kind};

/// `config/piton.toml` as it is shipped: every key with its default, commented out.
pub(super) fn commented_file() -> String {
    let mut file = String::from(
        "# Piton's configuration. Every key is shown with its default; take the # away to change it.\n\
         # An environment variable (PITON_SERVER__LISTEN for listen in [server]) wins over this file, a flag over both.\n\
         # `piton config` shows what is in use and where it came from. This file is made from the table of keys in the\n\
         # source, as docs/config.md is.\n",
    );
    let mut section = "";
    for key in KEYS {
        if key.section() != section {
            section = key.section();
            file.push_str(&format!("\n[{section}]\n"));
        }
        let name = key.name.trim_start_matches(section).trim_start_matches('.');
        let value = key
            .default_value()
            .map(|given| given.shown())
            .unwrap_or_else(|| format!("{}  # not set", example(&key.kind)));
        file.push_str(&format!("# {}\n# {name} = {value}\n", key.meaning));
    }
    file
}

/// `docs/config.md`.
pub(super) fn page() -> String {
    let mut page = String::from(REFERENCE_INTRO);
    let mut section = "";
    for key in KEYS {
        if key.section() != section {
            section = key.section();
            page.push_str(&format!(
                "\n## {section}\n\n| key and variable | default | meaning, and *what fits* |\n|---|---|---|\n"
            ));
        }
        let default =
            key.default_value().map_or_else(|| "not set".to_owned(), |given| format!("`{}`", given.shown()));
        page.push_str(&format!(
            "| `{}`<br>`{}` | {default} | {}<br>*{}* |\n",
            key.name,
            key.variable(),
            key.meaning,
            key.kind.expected()
        ));
    }
    page.push_str(REFERENCE_END);
    page
}

const REFERENCE_INTRO: &str = "# Configuration

<!-- Made from the table of keys in crates/piton/src/config/keys.rs: UPDATE_EXPECT=1 cargo test -p piton generated -->

Piton runs without any configuration. What you want otherwise you say in one of these places; the later ones win:

1. the defaults below
2. `piton.toml` in the configuration folder (`./config`, or the one that `--config DIR` names)
3. environment variables: `PITON_SECTION__KEY`, with two underscores between section and key
4. flags, such as `--listen`

`piton config` shows every value with the place it came from. A key or variable that Piton does not know, or a value that
does not fit, stops it with an error that names the place. Variables that begin with `PITON_` but have no `__` are not
Piton's; it warns about them and goes on. A variable that is set but empty counts as not set. In a variable, the items of
a list are separated by commas.
";

const REFERENCE_END: &str = "
## Variables that other programs share

| variable | stands for | gives way to |
|---|---|---|
| `OPENAI_API_KEY` | `model.api_key` | `PITON_MODEL__API_KEY` |
| `OPENAI_BASE_URL` | `model.base_url` | `PITON_MODEL__BASE_URL` |
";

/// A value that shows how one is written, where there is no default to show.
const fn example(kind: &Kind) -> &'static str {
    match kind {
        Kind::Url => "\"https://api.openai.com/v1\"",
        Kind::Whole { .. } => "4096",
        _ => "\"…\"",
    }
}
