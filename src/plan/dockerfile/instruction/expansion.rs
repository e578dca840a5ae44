//! Which words of an instruction are expanded, and in which order.

use std::borrow::Cow;

use super::{InstructionKind, KeyValue, SourcesAndDest};
use crate::plan::dockerfile::text;

/// The callback that expands one word; [`Cow::Borrowed`] means that the word stays as it is.
pub type Expander<'f, E> = dyn for<'w> FnMut(&'w str) -> Result<Cow<'w, str>, E> + 'f;

fn expand_word<E>(word: &mut String, expander: &mut Expander<'_, E>) -> Result<(), E> {
    let changed = match expander(word)? {
        Cow::Borrowed(_) => None,
        Cow::Owned(changed) => Some(changed),
    };
    if let Some(changed) = changed {
        *word = changed;
    }
    Ok(())
}

fn expand_words<E>(words: &mut [String], expander: &mut Expander<'_, E>) -> Result<(), E> {
    words.iter_mut().try_for_each(|word| expand_word(word, expander))
}

fn expand_pairs<E>(pairs: &mut [KeyValue], expander: &mut Expander<'_, E>) -> Result<(), E> {
    for pair in pairs {
        expand_word(&mut pair.key, expander)?;
        expand_word(&mut pair.value, expander)?;
    }
    Ok(())
}

impl SourcesAndDest {
    fn expand<E>(&mut self, expander: &mut Expander<'_, E>) -> Result<(), E> {
        expand_words(&mut self.paths, expander)?;
        expand_word(&mut self.dest, expander)
    }

    fn expand_raw<E>(&mut self, expander: &mut Expander<'_, E>) -> Result<(), E> {
        for content in self.contents.iter_mut().filter(|content| content.expand) {
            let text = text::to_string(&content.data);
            let expanded = expander(&text)?.into_owned();
            content.data = expanded.into_bytes();
        }
        Ok(())
    }
}

impl InstructionKind {
    /// Expands in place every word of the instruction that may hold variables.
    ///
    /// Words are passed in the order in which BuildKit expands them, so that of several errors the
    /// same one comes first. `ARG`, `EXPOSE` and the mounts of `RUN` are not touched: the
    /// module tells how they are expanded.
    ///
    /// # Errors
    ///
    /// The first error of `expander`.
    pub fn expand<E>(&mut self, expander: &mut Expander<'_, E>) -> Result<(), E> {
        match self {
            Self::Env(pairs) | Self::Label(pairs) => expand_pairs(pairs, expander),
            Self::Add(add) => {
                expand_word(&mut add.chown, expander)?;
                expand_word(&mut add.chmod, expander)?;
                expand_word(&mut add.checksum, expander)?;
                add.files.expand(expander)
            }
            Self::Copy(copy) => {
                expand_word(&mut copy.chown, expander)?;
                expand_word(&mut copy.chmod, expander)?;
                copy.files.expand(expander)
            }
            Self::StopSignal(word) | Self::User(word) | Self::Workdir(word) => {
                expand_word(word, expander)
            }
            Self::Volume(words) => expand_words(words, expander),
            _ => Ok(()),
        }
    }

    /// Expands in place the heredoc contents of `ADD` and `COPY` that allow it.
    ///
    /// # Errors
    ///
    /// The first error of `expander`.
    pub fn expand_raw<E>(&mut self, expander: &mut Expander<'_, E>) -> Result<(), E> {
        match self {
            Self::Add(add) => add.files.expand_raw(expander),
            Self::Copy(copy) => copy.files.expand_raw(expander),
            _ => Ok(()),
        }
    }
}
