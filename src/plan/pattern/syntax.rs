//! One element of a path against a pattern, as Go's `filepath.Match` does it.
//!
//! Docker tries every pattern on the path `.` first and refuses it if that finds a mistake. The trial
//! ends where the pattern stops matching, so mistakes further on are let through.

const OPEN: &str = "has a `[` that nothing closes, or a range without a start or end";
const BACKSLASH: &str = "ends with a lone backslash";

/// Tells whether `pattern` matches `name`; neither stars nor `?` match a slash.
///
/// # Errors
///
/// What is wrong with the pattern, as far as it is read.
pub(super) fn matches(pattern: &[u8], mut name: &[u8]) -> Result<bool, &'static str> {
    let mut pattern = pattern;
    'chunks: while !pattern.is_empty() {
        let (star, chunk, rest) = split_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(!name.contains(&b'/'));
        }
        let last = pattern.is_empty();
        if let Some(left) = try_chunk(chunk, name)?
            && (left.is_empty() || !last)
        {
            name = left;
            continue;
        }
        let ends = (1..=name.len()).take_while(|end| star && name[end - 1] != b'/');
        for end in ends {
            if let Some(left) = try_chunk(chunk, &name[end..])?
                && (left.is_empty() || !last)
            {
                name = left;
                continue 'chunks;
            }
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// Splits off the stars in front and the text up to the next star.
fn split_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
    let pattern = &pattern[stars..];
    let (mut at, mut in_class) = (0, false);
    while at < pattern.len() {
        match pattern[at] {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        at += 1;
    }
    let at = at.min(pattern.len());
    (stars > 0, &pattern[..at], &pattern[at..])
}

/// Matches a chunk at the start of `name`; returns what is left. A chunk is read to its end even
/// where it does not match.
fn try_chunk<'n>(mut chunk: &[u8], mut name: &'n [u8]) -> Result<Option<&'n [u8]>, &'static str> {
    let mut failed = false;
    while let Some((&byte, rest)) = chunk.split_first() {
        failed |= name.is_empty();
        chunk = rest;
        // Only a class and `?` take characters of several bytes.
        let length = match (failed, byte) {
            (true, _) => 0,
            (_, b'[' | b'?') => next_char(name).1,
            _ => 1,
        };
        let (taken, left) = name.split_at(length);
        name = left;
        match byte {
            b'[' => {
                // What does not match any more is compared with NUL.
                let char = if failed { '\0' } else { next_char(taken).0 };
                let (matched, rest) = class(chunk, char)?;
                failed |= !matched;
                chunk = rest;
            }
            b'?' => failed |= taken == b"/",
            b'\\' => {
                let (escaped, rest) = chunk.split_at_checked(1).ok_or(BACKSLASH)?;
                failed |= taken != escaped;
                chunk = rest;
            }
            _ => failed |= taken != [byte],
        }
    }
    Ok((!failed).then_some(name))
}

/// The first character and its length; a byte that is no UTF-8 stands for itself.
pub(super) fn next_char(text: &[u8]) -> (char, usize) {
    let first = text.utf8_chunks().next();
    match first.and_then(|chunk| chunk.valid().chars().next()) {
        Some(char) => (char, char.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, text.len().min(1)),
    }
}

/// Reads a class behind its `[`; returns whether it has `taken`, and what follows.
fn class(chunk: &[u8], taken: char) -> Result<(bool, &[u8]), &'static str> {
    let (negated, mut chunk) = match chunk.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, chunk),
    };
    let (mut matched, mut ranges) = (false, 0);
    loop {
        if ranges > 0
            && let Some(rest) = chunk.strip_prefix(b"]")
        {
            return Ok((matched != negated, rest));
        }
        let (first, rest) = one(chunk)?;
        let (last, rest) = match rest.strip_prefix(b"-") {
            Some(rest) => one(rest)?,
            None => (first, rest),
        };
        chunk = rest;
        matched |= (first..=last).contains(&taken);
        ranges += 1;
    }
}

/// Reads a character of a class, which something must follow.
fn one(chunk: &[u8]) -> Result<(char, &[u8]), &'static str> {
    if matches!(chunk.first(), None | Some(b'-' | b']')) {
        return Err(OPEN);
    }
    let chunk = chunk.strip_prefix(b"\\").unwrap_or(chunk);
    let char = chunk.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
    let char = char.ok_or(OPEN)?;
    match &chunk[char.len_utf8()..] {
        [] => Err(OPEN),
        rest => Ok((char, rest)),
    }
}
