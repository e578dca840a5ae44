//! Image references: parsing, normalisation, familiar and full forms.
