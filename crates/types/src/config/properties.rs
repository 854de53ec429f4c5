//! Java's `.properties` syntax, as `java.util.Properties.load` reads it.
//!
//! A logical line may continue over several natural ones after an odd number of backslashes. The key ends at the first
//! `=`, `:` or white space that is not escaped. Unlike Java, the text is UTF-8 and each pair knows its line.

/// One key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The key, unescaped.
    pub key: String,
    /// The value, unescaped. White space at its end belongs to it.
    pub value: String,
    /// The number of the line on which the key stands, from 1.
    pub line: usize,
}

/// An escape that Java refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `\\u` must be followed by four hexadecimal digits")]
pub struct BadEscape {
    /// The number of the line on which the pair starts.
    pub line: usize,
}

/// Reads all pairs in order; a key may occur more than once.
///
/// # Errors
/// Only for a malformed `\u` escape, as in Java.
pub fn parse(text: &str) -> Result<Vec<Pair>, BadEscape> {
    logical_lines(text).into_iter().map(|(line, content)| pair(&content, line)).collect()
}

/// Joins continued lines; drops blank lines and comments.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut current: Option<(usize, String)> = None;
    for (index, natural) in natural_lines(text).enumerate() {
        let content = natural.trim_start_matches(is_blank);
        if current.is_none() && (content.is_empty() || content.starts_with(['#', '!'])) {
            continue;
        }
        let (_, line) = current.get_or_insert_with(|| (index + 1, String::new()));
        let backslashes = content.len() - content.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            line.push_str(content.strip_suffix('\\').unwrap_or(content));
            // As in Java, a backslash by itself continues nothing: the next line may be a comment.
            current = current.filter(|(_, line)| !line.is_empty());
            continue;
        }
        line.push_str(content);
        lines.extend(current.take());
    }
    lines.extend(current);
    lines
}

/// Splits at `\n`, `\r` and `\r\n`.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

fn pair(content: &str, line: usize) -> Result<Pair, BadEscape> {
    let mut escaped = false;
    let key_end = content
        .char_indices()
        .find(|&(_, c)| {
            let ends = !escaped && (is_blank(c) || c == '=' || c == ':');
            escaped = c == '\\' && !escaped;
            ends
        })
        .map_or(content.len(), |(at, _)| at);
    let (key, rest) = content.split_at(key_end);
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(is_blank);
    Ok(Pair { key: unescape(key, line)?, value: unescape(value, line)?, line })
}

fn unescape(text: &str, line: usize) -> Result<String, BadEscape> {
    let mut out = String::with_capacity(text.len());
    // Java's escapes are UTF-16 units: a character outside the basic plane takes two of them.
    let mut units: Vec<u16> = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let next = if c == '\\' { chars.next() } else { None };
        if next == Some('u') {
            let digits: String = chars.by_ref().take(4).collect();
            let unit = Some(&digits)
                .filter(|d| d.len() == 4 && d.bytes().all(|b| b.is_ascii_hexdigit()))
                .and_then(|d| u16::from_str_radix(d, 16).ok());
            units.push(unit.ok_or(BadEscape { line })?);
            continue;
        }
        flush_units(&mut units, &mut out);
        out.push(match next {
            None => c,
            Some('t') => '\t',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('f') => '\u{c}',
            Some(other) => other,
        });
    }
    flush_units(&mut units, &mut out);
    Ok(out)
}

fn flush_units(units: &mut Vec<u16>, out: &mut String) {
    out.extend(char::decode_utf16(units.drain(..)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
}
