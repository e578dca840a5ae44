//! The CI logic around the image on GitHub: event, tags, detection, wait, comment, summary.
