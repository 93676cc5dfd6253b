use serde::Deserialize;

/// Characters of a field's path that a message shows: names come from whoever sends.
const PATH_CHARS_MAX: usize = 80;
/// Characters of the decoder's words, which quote what was sent. The end says what was expected, which may be
/// any of a record's fields.
const START_CHARS_MAX: usize = 80;
const END_CHARS_MAX: usize = 280;

/// What is wrong with a line that was refused as a `T`: where in the line, in which field, and what was
/// expected.
///
/// The decoder's words with the column alone: it counts lines from the start of each record. The line is
/// read again for the field, so that those that are right do not pay for it.
pub(super) fn explain<'de, T: Deserialize<'de>>(line: &'de [u8], error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = one_line(text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what));
    let column = (error.column() > 0).then(|| format!("column {}", error.column()));
    let places: Vec<String> = column.into_iter().chain(field::<T>(line)).collect();
    if places.is_empty() { what } else { format!("{}: {what}", places.join(", ")) }
}

/// The path to the field at which a line is refused; nothing where it is not in one.
fn field<'de, T: Deserialize<'de>>(line: &'de [u8]) -> Option<String> {
    let mut decoder = serde_json::Deserializer::from_slice(line);
    let error = serde_path_to_error::deserialize::<_, T>(&mut decoder).err()?;
    error.path().iter().next()?;
    let path: String = error.path().to_string().escape_debug().take(PATH_CHARS_MAX).collect();
    Some(format!("`{path}`"))
}

/// What ends a line or cannot be seen is escaped, and what is too long is cut in the middle. Quotes and
/// backslashes stay: where the decoder quotes a text, it has escaped them itself.
fn one_line(what: &str) -> String {
    let mut line = String::new();
    for c in what.chars() {
        if matches!(c, '"' | '\'' | '\\') { line.push(c) } else { line.extend(c.escape_debug()) }
    }
    let chars = line.chars().count();
    if chars <= START_CHARS_MAX + END_CHARS_MAX {
        return line;
    }
    let start = line.chars().take(START_CHARS_MAX).chain(['…']);
    start.chain(line.chars().skip(chars - END_CHARS_MAX)).collect()
}
