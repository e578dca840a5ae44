//! Content keys: what an image is made from, and finding an image that was made from it.
