//! Platforms: parsing, normalisation and their text form.
