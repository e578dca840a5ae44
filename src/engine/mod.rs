//! BuildKit daemons: addresses, connections, sessions, solves, and private engines.

pub mod host_ca;
