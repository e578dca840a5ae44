//! Puts text that others wrote (step names, paths, branches) into Markdown without giving it a say.

/// Writes `text` as inline code that may stand in a table's cell.
///
/// The fence is longer than any run of backticks inside. A `|` would end the cell even in code.
#[must_use]
pub fn code(text: &str) -> String {
    let text = one_line(text).replace('|', "\\|");
    let mut longest = 0;
    let mut run = 0;
    for character in text.chars() {
        run = if character == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    let pad =
        if text.starts_with('`') || text.ends_with('`') || text.is_empty() { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Writes `text` as plain words: what Markdown, HTML or GitHub would act on is taken apart.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in one_line(text).chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A joiner nobody sees keeps a mention from being one.
            '@' => out.push_str("@\u{200d}"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => {
                out.push('\\');
                out.push(character);
            }
            _ => out.push(character),
        }
    }
    out
}

/// `text` on one line, and not more of it than people read.
#[must_use]
pub fn one_line(text: &str) -> String {
    const LONGEST: usize = 120;
    let visible = |character: char| if character.is_control() { ' ' } else { character };
    let line: String = text.chars().map(visible).collect();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    line.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// A number of bytes as people read it.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// A number of seconds as people read it.
#[must_use]
pub fn seconds(value: f64) -> String {
    if value >= 60.0 {
        let whole = value.round();
        format!("{} min {:02} s", (whole / 60.0).floor(), whole % 60.0)
    } else {
        format!("{value:.1} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_cannot_be_left() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`x`"), "`` `x` ``");
        assert_eq!(code("a|b\n<!-- x"), "`a\\|b <!-- x`");
    }

    #[test]
    fn plain_words_stay_words() {
        assert_eq!(plain("<b>@all [x](y)"), "&lt;b&gt;@\u{200d}all \\[x\\](y)");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(312_456_789), "312.5 MB");
        assert_eq!(bytes(999_960), "1.0 MB");
        assert_eq!(seconds(4.24), "4.2 s");
        assert_eq!(seconds(119.7), "2 min 00 s");
    }
}
