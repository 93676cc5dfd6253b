use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::store::Dir;

/// Writes a line to standard output. A reader that has gone is nobody to complain to.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Writes one JSON document, the last thing on standard output.
pub(super) fn say_json(document: &impl Serialize) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(document)?);
    Ok(())
}

/// Whether files can be left in a folder, which is made when it is missing: asked before the work, not
/// after it.
pub(super) fn check_folder(folder: &Path) -> anyhow::Result<()> {
    Dir::shared(folder)?;
    tempfile::tempfile_in(folder).with_context(|| format!("cannot write in `{}`", folder.display()))?;
    Ok(())
}

/// Writes one line to standard error that is no error.
pub(super) fn hint(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "silentry: {}", text.replace('\n', " "));
}

/// Writes one line to standard error: what, where, what was expected.
pub(super) fn complain(error: &anyhow::Error) {
    let mut line = String::new();
    let mut last = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // An error that shows its source inside its own text needs no second showing.
        if last.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
        last = text;
    }
    let _ = writeln!(std::io::stderr().lock(), "silentry: {}", line.replace('\n', " "));
}
