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

/// Splits a list. An item that begins with a double quote goes on to the closing one.
pub(super) fn list(
    input: &'static str,
    text: &str,
    commas: bool,
) -> Result<Vec<String>, ActionError> {
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
            '\n' if !quoted => items.push(std::mem::take(&mut item)),
            ',' if !quoted && commas => items.push(std::mem::take(&mut item)),
            other => item.push(other),
        }
    }
    if quoted {
        return Err(ActionError::Quote(input));
    }
    items.push(item);
    let trimmed = items.into_iter().map(|item| item.trim().to_owned());
    Ok(trimmed.filter(|item| !item.is_empty()).collect())
}

/// Splits a list of `name=value`.
pub(super) fn pairs(
    input: &'static str,
    text: &str,
    commas: bool,
) -> Result<Vec<(String, String)>, ActionError> {
    let items = list(input, text, commas)?;
    let pairs = items.iter().enumerate().map(|(at, item)| {
        let pair = item.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.ok_or(ActionError::NotAPair { input, item: at + 1 })?;
        Ok((name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}
