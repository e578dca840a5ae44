//! Dockerfiles: parsing, expansion, stages, linting, and compilation to LLB.
