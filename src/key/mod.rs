//! Content keys: what an image is made from, and finding an image that was made from it.
//!
//! [`graph`] turns a compiled definition into text that is the same on every machine, with the reads
//! of local files taken out and listed; [`files`] digests exactly the files those reads select;
//! [`compute`] puts both together with the options that shape the image.

pub mod graph;
