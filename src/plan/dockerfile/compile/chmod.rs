//! `--chmod`: an octal number, or a symbolic mode as chmod(1) takes it.
use super::CompileErrorKind;

/// The mode that copied files get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// That of the source.
    Keep,
    /// This one.
    Octal(i32),
    /// That of the source, changed so.
    Symbolic(String),
}

impl Mode {
    /// Reads the value of the flag; nothing is [`Mode::Keep`].
    pub(super) fn parse(text: &str) -> Result<Self, CompileErrorKind> {
        if text.is_empty() {
            return Ok(Self::Keep);
        }
        let is_octal = text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        if let Some(mode) = is_octal.then(|| i32::from_str_radix(text, 8).ok()).flatten()
            && mode <= 0o7777
        {
            return Ok(Self::Octal(mode));
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(CompileErrorKind::ChmodOctal(text.to_owned()));
        }
        if text.split(',').all(is_clause) {
            return Ok(Self::Symbolic(text.to_owned()));
        }
        Err(CompileErrorKind::ChmodSymbolic(text.to_owned()))
    }

    /// The two fields of a copy: a number, -1 to keep the mode, and a symbolic one.
    pub(super) fn fields(&self) -> (i32, String) {
        match self {
            Self::Keep => (-1, String::new()),
            Self::Octal(mode) => (*mode, String::new()),
            Self::Symbolic(text) => (0, text.clone()),
        }
    }
}

/// Whether `clause` is `[ugoa…][-+=][perms…]`, with any number of operators.
fn is_clause(clause: &str) -> bool {
    let operations = clause.trim_start_matches(['u', 'g', 'o', 'a']);
    operations.starts_with(['+', '-', '='])
        && operations.bytes().all(|c| b"+-=rwxXstugo".contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_octal_and_symbolic_modes() {
        assert_eq!(Mode::parse("0755").unwrap(), Mode::Octal(0o755));
        assert_eq!(Mode::parse("7777").unwrap(), Mode::Octal(0o7777));
        for good in ["u+x", "u=rwX,go=rX", "+x", "a-w+r", "go=u", "=", "u="] {
            assert_eq!(Mode::parse(good).unwrap(), Mode::Symbolic(good.to_owned()));
        }
        for bad in ["10000", "8", "755x", "0o755"] {
            assert!(matches!(Mode::parse(bad), Err(CompileErrorKind::ChmodOctal(_))), "{bad}");
        }
        for bad in ["u", "u+x,", "rw", "u+a", "-1", "u+x, g+x"] {
            assert!(matches!(Mode::parse(bad), Err(CompileErrorKind::ChmodSymbolic(_))), "{bad}");
        }
    }
}
