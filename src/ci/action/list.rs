//! How docker/build-push-action writes lists and truth into the text of an input.
use super::ActionError;

/// A workflow's booleans, as YAML's core schema writes them.
pub(super) fn boolean(input: &'static str, value: &str) -> Result<bool, ActionError> {
    match value {
        "" | "false" | "False" | "FALSE" => Ok(false),
        "true" | "True" | "TRUE" => Ok(true),
        _ => Err(ActionError::NotBoolean { input, value: value.to_owned() }),
    }
}

/// The lines of a list whose items have quotes of their own.
pub(super) fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Splits a list. An item that begins with a double quote goes on to the closing one.
pub(super) fn list(
    input: &'static str,
    text: &str,
    commas: bool,
) -> Result<Vec<String>, ActionError> {
    let items = items(input, text, commas)?.into_iter().map(|item| item.trim().to_owned());
    Ok(items.filter(|item| !item.is_empty()).collect())
}

/// Splits a list of `name=value`.
pub(super) fn pairs(
    input: &'static str,
    text: &str,
    commas: bool,
) -> Result<Vec<(String, String)>, ActionError> {
    divided(input, list(input, text, commas)?)
}

/// Splits a list of secrets: white space at the end of a value, such as a key's last line end, is
/// part of it.
pub(super) fn secrets(text: &str) -> Result<Vec<(String, String)>, ActionError> {
    const INPUT: &str = "secrets";
    let items = items(INPUT, text, false)?;
    divided(INPUT, items.into_iter().filter(|item| !item.trim().is_empty()).collect())
}

fn divided(input: &'static str, items: Vec<String>) -> Result<Vec<(String, String)>, ActionError> {
    let pairs = items.iter().enumerate().map(|(at, item)| {
        let pair = item.trim_start().split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.ok_or(ActionError::NotAPair { input, item: at + 1 })?;
        Ok((name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

fn items(input: &'static str, text: &str, commas: bool) -> Result<Vec<String>, ActionError> {
    let mut items = Vec::new();
    let mut item = String::new();
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                item.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if item.trim().is_empty() => quoted = true,
            // Line ends of Windows end lines too.
            '\r' if !quoted && characters.peek() == Some(&'\n') => {}
            '\n' if !quoted => items.push(std::mem::take(&mut item)),
            ',' if !quoted && commas => items.push(std::mem::take(&mut item)),
            other => item.push(other),
        }
    }
    if quoted {
        return Err(ActionError::Quote(input));
    }
    items.push(item);
    Ok(items)
}
